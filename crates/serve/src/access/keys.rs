//! The public keys of whoever issues tokens: PEM, or a JSON Web Key Set (RFC 7517, RFC 8037).

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{PemObject as _, SectionKind};
use serde::Deserialize;
use webpki::EndEntityCert;

/// A token may be tried with each of them.
const KEYS_MAX: usize = 64;

/// Keys that signatures are checked with.
#[derive(Debug)]
pub struct Keys(Vec<Key>);

#[derive(Debug)]
struct Key {
    /// By which tokens name it.
    id: Option<String>,
    family: Family,
    /// The one algorithm that it is for, if its file says so.
    algorithm: Option<String>,
    /// As `SubjectPublicKeyInfo` in DER, or for curves as the point.
    public: Vec<u8>,
}

/// What kind of mathematics a key is for. A token's algorithm has to be of its key's family: a key is never used for
/// another purpose than its own, whatever a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// What a token's `alg` stands for (RFC 7518 section 3.1, RFC 8037 section 3.1). There is no `none`, and nothing with a
/// shared secret.
fn algorithm(name: &str) -> Option<(Family, &'static dyn VerificationAlgorithm)> {
    Some(match name {
        "RS256" => (Family::Rsa, &signature::RSA_PKCS1_2048_8192_SHA256),
        "RS384" => (Family::Rsa, &signature::RSA_PKCS1_2048_8192_SHA384),
        "RS512" => (Family::Rsa, &signature::RSA_PKCS1_2048_8192_SHA512),
        "PS256" => (Family::Rsa, &signature::RSA_PSS_2048_8192_SHA256),
        "PS384" => (Family::Rsa, &signature::RSA_PSS_2048_8192_SHA384),
        "PS512" => (Family::Rsa, &signature::RSA_PSS_2048_8192_SHA512),
        "ES256" => (Family::P256, &ECDSA_P256_SHA256_FIXED),
        "ES384" => (Family::P384, &ECDSA_P384_SHA384_FIXED),
        "EdDSA" | "Ed25519" => (Family::Ed25519, &ED25519),
        _ => return None,
    })
}

impl Keys {
    /// Reads a file's bytes.
    ///
    /// # Errors
    /// Says what is wrong with them.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let is_json = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        let keys = if is_json { from_json(bytes)? } else { from_pem(bytes)? };
        match keys.len() {
            0 => Err("there is no public key in it that signatures can be checked with".to_owned()),
            1..=KEYS_MAX => Ok(Self(keys)),
            more => Err(format!("it holds {more} keys, at most {KEYS_MAX} are taken")),
        }
    }

    /// Whether one of the keys made the signature. `id` is the token's `kid`: keys with another one are not tried.
    pub(super) fn verify(&self, name: &str, id: Option<&str>, message: &[u8], signature: &[u8]) -> bool {
        let Some((family, algorithm)) = algorithm(name) else { return false };
        let is_meant = |key: &&Key| {
            key.family == family
                && key.algorithm.as_deref().is_none_or(|only| only == name)
                && (id.is_none() || key.id.is_none() || key.id.as_deref() == id)
        };
        self.0
            .iter()
            .filter(is_meant)
            .any(|key| signature::UnparsedPublicKey::new(algorithm, &key.public).verify(message, signature).is_ok())
    }
}

/// `PUBLIC KEY` and `CERTIFICATE` sections; of a certificate only its key counts.
fn from_pem(bytes: &[u8]) -> Result<Vec<Key>, String> {
    let mut keys = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
        let (kind, der) = section.map_err(|error| format!("it is neither PEM nor a JSON Web Key Set: {error}"))?;
        let public = match kind {
            SectionKind::PublicKey => der,
            SectionKind::Certificate => {
                let certificate = CertificateDer::from(der);
                let parsed =
                    EndEntityCert::try_from(&certificate).map_err(|error| format!("a certificate: {error}"))?;
                parsed.subject_public_key_info().to_vec()
            }
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                return Err("it holds a private key, which belongs to the issuer of tokens alone".to_owned());
            }
            _ => continue,
        };
        let family = family_of(&public).ok_or("a key is neither RSA of 2048 to 8192 bits, P-256, P-384 nor Ed25519")?;
        keys.push(Key { id: None, family, algorithm: None, public });
    }
    Ok(keys)
}

fn family_of(public: &[u8]) -> Option<Family> {
    let families: [(Family, &'static dyn VerificationAlgorithm); 4] = [
        (Family::Rsa, &signature::RSA_PKCS1_2048_8192_SHA256),
        (Family::P256, &ECDSA_P256_SHA256_FIXED),
        (Family::P384, &ECDSA_P384_SHA384_FIXED),
        (Family::Ed25519, &ED25519),
    ];
    families
        .into_iter()
        .find(|(_, algorithm)| ParsedPublicKey::new(*algorithm, public).is_ok())
        .map(|(family, _)| family)
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    r#use: Option<String>,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
    #[serde(default)]
    d: Option<serde::de::IgnoredAny>,
}

fn from_json(bytes: &[u8]) -> Result<Vec<Key>, String> {
    let set: Set = serde_json::from_slice(bytes).map_err(|error| format!("it is no JSON Web Key Set: {error}"))?;
    let mut keys = Vec::new();
    for (index, jwk) in set.keys.into_iter().enumerate() {
        let named = jwk.kid.clone().map_or_else(|| format!("number {}", index + 1), |id| format!("{id:?}"));
        if jwk.d.is_some() || jwk.kty == "oct" {
            return Err(format!("key {named} is a secret one, which belongs to the issuer of tokens alone"));
        }
        // A set may hold keys for other uses, and of kinds that come later.
        if jwk.r#use.as_deref().is_some_and(|purpose| purpose != "sig") {
            continue;
        }
        let Some((family, public)) = jwk.public().ok_or_else(|| format!("key {named} cannot be read"))? else {
            continue;
        };
        if family_of(&public) != Some(family) && family != Family::Ed25519 {
            return Err(format!("key {named} is no valid key of its kind; RSA keys need 2048 to 8192 bits"));
        }
        keys.push(Key { id: jwk.kid, family, algorithm: jwk.alg, public });
    }
    Ok(keys)
}

impl Jwk {
    /// The key; `Some(None)` when it is of a kind that is not known here, nothing when it is broken.
    fn public(&self) -> Option<Option<(Family, Vec<u8>)>> {
        Some(Some(match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (decoded(self.n.as_ref())?, decoded(self.e.as_ref())?);
                let der: PublicKeyX509Der<'_> = PublicKeyComponents { n, e }.as_der().ok()?;
                (Family::Rsa, der.as_ref().to_vec())
            }
            ("EC", Some("P-256")) => (Family::P256, self.point(32)?),
            ("EC", Some("P-384")) => (Family::P384, self.point(48)?),
            ("OKP", Some("Ed25519")) => {
                let x = decoded(self.x.as_ref())?;
                (Family::Ed25519, (x.len() == 32).then_some(x)?)
            }
            _ => return Some(None),
        }))
    }

    /// The uncompressed form of a point (SEC 1, section 2.3.3).
    fn point(&self, length: usize) -> Option<Vec<u8>> {
        let (x, y) = (decoded(self.x.as_ref())?, decoded(self.y.as_ref())?);
        (x.len() == length && y.len() == length).then(|| [&[4], x.as_slice(), y.as_slice()].concat())
    }
}

fn decoded(text: Option<&String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}
