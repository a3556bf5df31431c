//! Options of podman that stand for what dhow does not do. They are known, so that they can be refused with a reason instead of
//! being taken for a mistake.

use clap::Args;

use crate::errors::{Failure, Outcome};

/// Options that sign or encrypt.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Signing {
    #[arg(long, value_name = "string", hide = true)]
    sign_by: Option<String>,
    #[arg(long, value_name = "string", hide = true)]
    sign_by_sigstore: Option<String>,
    #[arg(long, value_name = "string", hide = true)]
    sign_by_sigstore_private_key: Option<String>,
    #[arg(long, value_name = "string", hide = true)]
    sign_by_sq_fingerprint: Option<String>,
    #[arg(long, value_name = "string", hide = true)]
    sign_passphrase_file: Option<String>,
    #[arg(long, value_name = "strings", hide = true)]
    encryption_key: Vec<String>,
    #[arg(long, value_name = "strings", hide = true, allow_negative_numbers = true)]
    encrypt_layer: Vec<String>,
}

impl Signing {
    /// Refuses whatever is asked for: an image that is not signed, or not encrypted, is not what the user wants.
    pub(super) fn refuse(&self) -> Outcome {
        const SIGNED: &str = "images are not signed yet";
        const ENCRYPTED: &str = "layers are pushed as they are, and not encrypted";
        refuse(&[
            (self.sign_by.is_some(), "--sign-by", SIGNED),
            (self.sign_by_sigstore.is_some(), "--sign-by-sigstore", SIGNED),
            (self.sign_by_sigstore_private_key.is_some(), "--sign-by-sigstore-private-key", SIGNED),
            (self.sign_by_sq_fingerprint.is_some(), "--sign-by-sq-fingerprint", SIGNED),
            (self.sign_passphrase_file.is_some(), "--sign-passphrase-file", SIGNED),
            (!self.encryption_key.is_empty(), "--encryption-key", ENCRYPTED),
            (!self.encrypt_layer.is_empty(), "--encrypt-layer", ENCRYPTED),
        ])
    }
}

/// Refuses the first option that is given: whether it is, its name, and why.
pub(super) fn refuse(options: &[(bool, &str, &str)]) -> Outcome {
    match options.iter().find(|(is_given, ..)| *is_given) {
        None => Ok(()),
        Some((_, name, reason)) => Err(Failure::Client(format!("{name} is not supported: {reason}"))),
    }
}
