//! Challenges, tokens, passwords, logins; and where credentials must never go.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::sync::Arc;

use common::{Fixed, client, options, options_for, reference, remote, remote_with, run};
use dhow_base::Kind;
use dhow_base::progress::Silent;
use dhow_base::secret::Secret;
use dhow_content::memory::MemoryPlace;
use dhow_content::{CopyOptions, Resolve, copy, suite};
use dhow_registry::{Access as Rights, ClientOptions, Credential};
use dhow_testkit::registry::{Access, Effect, Route, Rule, ScriptedRegistry, UploadRules};

/// Every `Authorization` header that arrived.
fn shown(registry: &ScriptedRegistry) -> Vec<String> {
    registry.requests().iter().filter_map(|request| request.header("authorization").map(str::to_owned)).collect()
}

fn pull(registry: &ScriptedRegistry, options: ClientOptions) -> dhow_base::Result<()> {
    let remote = remote_with(registry, "app", Rights::Pull, options);
    run(async {
        let root = remote.resolve(&reference(registry, "app:v1")).await?;
        copy(&remote, &MemoryPlace::new(), &root, &CopyOptions::new(&Silent)).await.map(|_| ())
    })
}

#[test]
fn basic_is_sent_once_it_is_asked_for() {
    let registry = ScriptedRegistry::start();
    registry.put_image("app", "v1", &[vec![1; 100]]);
    registry.set_access(Access::basic("bob", "hunter2"));
    pull(&registry, options_for("bob", "hunter2")).unwrap();
    let requests = registry.requests();
    assert_eq!(requests[0].header("authorization"), None, "the first request is anonymous");
    assert_eq!(requests[0].status, 401);
    assert!(requests[1..].iter().all(|request| request.status == 200), "then every one is right");
}

#[test]
fn anonymous_tokens_are_fetched_once_for_all_requests() {
    let registry = ScriptedRegistry::start();
    registry.put_image("app", "v1", &[vec![1; 100], vec![2; 100], vec![3; 100]]);
    registry.set_access(Access::bearer("bob", "hunter2"));
    pull(&registry, options()).unwrap();
    assert_eq!(registry.count("GET", Route::Token), 1);
    let token = registry.requests().into_iter().find(|request| request.route == Route::Token).unwrap();
    assert_eq!(token.query, "service=scripted&scope=repository%3Aapp%3Apull");
    assert_eq!(token.header("authorization"), None);
    let refused = registry.requests().iter().filter(|request| request.status == 401).count();
    assert_eq!(refused, 1);
}

#[test]
fn a_push_asks_for_both_rights_and_for_the_source_of_a_mount() {
    let sample = suite::sample("scopes");
    let registry = ScriptedRegistry::start();
    registry.set_access(Access::bearer("bob", "hunter2"));
    for blob in &sample.blobs {
        registry.put_blob("base", &sample.place.get(&blob.digest).unwrap());
    }
    let homes = vec![common::repository(&registry, "base")];
    let hints = sample.blobs.iter().map(|blob| (blob.digest.clone(), homes.clone())).collect();
    let remote = remote_with(&registry, "app", Rights::Push, options_for("bob", "hunter2")).with_mount_hints(hints);
    let copied = run(copy(&sample.place, &remote, &sample.manifest, &CopyOptions::new(&Silent))).unwrap();
    assert_eq!(copied.blobs_present, 3);
    let scopes: Vec<String> = registry
        .requests()
        .into_iter()
        .filter(|request| request.route == Route::Token)
        .map(|request| request.query.split("&account").next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(
        scopes,
        [
            "service=scripted&scope=repository%3Aapp%3Apull%2Cpush",
            "service=scripted&scope=repository%3Aapp%3Apull%2Cpush&scope=repository%3Abase%3Apull",
        ]
    );
}

#[test]
fn a_scope_that_the_path_does_not_tell_is_learnt() {
    let registry = ScriptedRegistry::start();
    registry.put_image("app", "v1", &[]);
    registry.set_access(Access::bearer("bob", "hunter2"));
    let challenge = format!(
        "Bearer realm=\"{}/token\",service=\"scripted\",scope=\"repository:real/app:pull\",error=\"insufficient_scope\"",
        registry.url()
    );
    let refusal = Effect::Answer { status: 401, headers: vec![("WWW-Authenticate".into(), challenge)], body: vec![] };
    registry.script(Rule::on(Route::Manifest).effect(refusal).after(1).times(1));
    run(remote(&registry, "app", Rights::Pull).resolve(&reference(&registry, "app:v1"))).unwrap();
    let asked: Vec<String> = registry
        .requests()
        .into_iter()
        .filter(|request| request.route == Route::Token)
        .map(|request| request.query)
        .collect();
    let first = "service=scripted&scope=repository%3Aapp%3Apull";
    assert_eq!(asked, [first.to_owned(), format!("{first}&scope=repository%3Areal%2Fapp%3Apull")]);
}

#[test]
fn a_token_that_ends_midway_is_renewed_once() {
    let registry = ScriptedRegistry::start();
    registry.put_image("app", "v1", &[vec![1; 100]]);
    registry.set_access(Access::bearer("bob", "hunter2"));
    let remote = remote(&registry, "app", Rights::Pull);
    run(async {
        let root = remote.resolve(&reference(&registry, "app:v1")).await.unwrap();
        registry.revoke_tokens();
        registry.clear_log();
        copy(&remote, &MemoryPlace::new(), &root, &CopyOptions::new(&Silent)).await.unwrap();
    });
    assert_eq!(registry.count("GET", Route::Token), 1);
}

#[test]
fn uploads_outlive_their_token() {
    let sample = suite::sample("renew");
    let registry = ScriptedRegistry::start();
    registry.set_access(Access::bearer("bob", "hunter2"));
    // The first upload's body is refused, as if the token had ended meanwhile.
    let challenge = format!("Bearer realm=\"{}/token\",service=\"scripted\"", registry.url());
    let refusal = Effect::Answer { status: 401, headers: vec![("WWW-Authenticate".into(), challenge)], body: vec![] };
    registry.script(Rule::on(Route::Upload).method("PUT").effect(refusal).times(1));
    let remote = remote_with(&registry, "app", Rights::Push, options_for("bob", "hunter2"));
    run(copy(&sample.place, &remote, &sample.manifest, &CopyOptions::new(&Silent))).unwrap();
    assert_eq!(registry.count("GET", Route::Token), 2);
}

#[test]
fn identity_tokens_are_exchanged_and_old_servers_get_the_password() {
    let registry = ScriptedRegistry::start();
    registry.put_image("app", "v1", &[]);
    let access = |refresh: Option<&str>| Access::Bearer {
        user: "bob".into(),
        password: "hunter2".into(),
        refresh_token: refresh.map(str::to_owned),
        anonymous_pull: false,
        realm: None,
    };
    registry.set_access(access(Some("refresh-me")));
    let credential = Credential {
        identity_token: Some(Secret::new("refresh-me")),
        ..Credential::password("bob", Secret::new("hunter2"))
    };
    let with =
        |credential: &Credential| ClientOptions { credentials: Arc::new(Fixed(Some(credential.clone()))), ..options() };
    pull(&registry, with(&credential)).unwrap();
    assert_eq!((registry.count("POST", Route::Token), registry.count("GET", Route::Token)), (1, 0));
    registry.set_access(access(None));
    registry.revoke_tokens();
    registry.clear_log();
    pull(&registry, with(&credential)).unwrap();
    assert_eq!((registry.count("POST", Route::Token), registry.count("GET", Route::Token)), (1, 1));
}

#[test]
fn a_registry_token_is_sent_as_it_is() {
    let registry = ScriptedRegistry::start();
    registry.put_image("app", "v1", &[]);
    registry.set_access(Access::bearer("bob", "hunter2"));
    let credential =
        Credential { registry_token: Some(Secret::new("ready-made")), ..Credential::password("", Secret::new("")) };
    let error =
        pull(&registry, ClientOptions { credentials: Arc::new(Fixed(Some(credential))), ..options() }).unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert!(shown(&registry).iter().all(|header| header == "Bearer ready-made"));
    assert_eq!(registry.count("GET", Route::Token), 0);
}

#[test]
fn refusals_in_dockers_words() {
    let registry = ScriptedRegistry::start();
    registry.put_image("app", "v1", &[]);
    let name = registry.authority();
    registry.set_access(Access::basic("bob", "hunter2"));
    let error = pull(&registry, options()).unwrap_err();
    assert_eq!(error.to_string(), format!("Head \"http://{name}/v2/app/manifests/v1\": no basic auth credentials"));
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert_eq!(error.hint(), Some(format!("log in first: dhow login {name}").as_str()));
    let error = pull(&registry, options_for("bob", "wrong")).unwrap_err();
    // The registry says no more than its code does.
    assert_eq!(error.to_string(), "unauthorized");

    registry.set_access(Access::Bearer {
        user: "bob".into(),
        password: "hunter2".into(),
        refresh_token: None,
        anonymous_pull: false,
        realm: None,
    });
    let error = pull(&registry, options()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "pull access denied for {name}/app, repository does not exist or may require 'docker login': \
             denied: requested access to the resource is denied"
        )
    );
    assert_eq!(error.kind(), Kind::Denied);
    let error = pull(&registry, options_for("bob", "wrong")).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("Head \"http://{name}/v2/app/manifests/v1\": unauthorized: incorrect username or password")
    );
    let sample = suite::sample("denied");
    registry.set_access(Access::bearer("bob", "hunter2"));
    let anonymous = remote(&registry, "app", Rights::Push);
    let error = run(copy(&sample.place, &anonymous, &sample.manifest, &CopyOptions::new(&Silent))).unwrap_err();
    assert_eq!(error.to_string(), "denied: requested access to the resource is denied");
}

#[test]
fn what_is_not_there_in_dockers_words() {
    let registry = ScriptedRegistry::start();
    let name = registry.authority();
    registry.put_image("app", "v1", &[]);
    let remote = remote(&registry, "app", Rights::Pull);
    run(async {
        let error = remote.resolve(&reference(&registry, "app:nope")).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("manifest for {name}/app:nope not found: manifest unknown: manifest unknown")
        );
        assert_eq!(error.kind(), Kind::NotFound);
        let unknown = Effect::error(404, "NAME_UNKNOWN", "repository name not known to registry");
        registry.script(Rule::on(Route::Manifest).effect(unknown));
        let error = remote.fetch_document(&reference(&registry, "app:v1")).await.unwrap_err();
        assert_eq!(error.to_string(), format!("repository {name}/app not found: name unknown"));
        registry.clear_script();
        let limit = Effect::error(429, "TOOMANYREQUESTS", "You have reached your pull rate limit.");
        registry.script(Rule::on(Route::Manifest).method("GET").effect(limit));
        let error = remote.fetch_document(&reference(&registry, "app:v1")).await.unwrap_err();
        assert_eq!(error.to_string(), "toomanyrequests: You have reached your pull rate limit.");
        assert_eq!(error.kind(), Kind::RateLimited);
    });
}

#[test]
fn logins() {
    let registry = ScriptedRegistry::start();
    let host = registry.authority();
    let client = client(options());
    let bob = |password: &str| Credential::password("bob", Secret::new(password));
    let login = |password: &str| run(client.login(&host, &bob(password)));
    registry.set_access(Access::basic("bob", "hunter2"));
    assert_eq!(login("hunter2").unwrap().identity_token, None);
    let error = login("wrong").unwrap_err();
    assert_eq!(error.to_string(), format!("login attempt to http://{host}/v2/ failed with status: 401 Unauthorized"));
    assert_eq!(error.kind(), Kind::Unauthorized);

    registry.set_access(Access::bearer("bob", "hunter2"));
    assert_eq!(login("hunter2").unwrap().identity_token, None);
    let error = login("wrong").unwrap_err();
    assert_eq!(error.to_string(), format!("Get \"http://{host}/v2/\": unauthorized: incorrect username or password"));
    registry.set_access(Access::Bearer {
        user: "bob".into(),
        password: "hunter2".into(),
        refresh_token: Some("keep-me".into()),
        anonymous_pull: true,
        realm: None,
    });
    assert_eq!(login("hunter2").unwrap().identity_token, Some(Secret::new("keep-me")));
}

#[test]
fn redirects_take_no_credentials_along() {
    let registry = ScriptedRegistry::start();
    let elsewhere = ScriptedRegistry::start();
    registry.set_access(Access::basic("bob", "hunter2"));
    registry.put_image("app", "v1", &[vec![1; 5000]]);
    elsewhere.put_image("app", "v1", &[vec![1; 5000]]);
    registry.script(Rule::on(Route::Blob).method("GET").effect(Effect::RedirectTo(307, elsewhere.url())));
    pull(&registry, options_for("bob", "hunter2")).unwrap();
    assert_eq!(elsewhere.count("GET", Route::Blob), 2);
    assert_eq!(shown(&elsewhere), Vec::<String>::new());

    // Asking for credentials there, or leading back, does not get them either.
    elsewhere.set_access(Access::basic("bob", "hunter2"));
    let error = pull(&registry, options_for("bob", "hunter2")).unwrap_err();
    assert!(error.to_string().contains("401 Unauthorized (from 127.0.0.1)"), "{error}");
    registry.clear_log();
    elsewhere.script(Rule::on(Route::Blob).effect(Effect::RedirectTo(307, registry.url())));
    pull(&registry, options_for("bob", "hunter2")).unwrap_err();
    assert_eq!(shown(&elsewhere), Vec::<String>::new());
    assert!(registry.requests().iter().filter(|request| request.header("authorization").is_none()).count() > 0);
}

#[test]
fn redirects_have_an_end_and_a_direction() {
    let registry = ScriptedRegistry::start();
    registry.put_image("app", "v1", &[vec![1; 10]]);
    registry.script(Rule::on(Route::Manifest).effect(Effect::RedirectTo(302, registry.url())));
    let error = pull(&registry, options()).unwrap_err();
    assert!(error.to_string().ends_with("stopped after 10 redirects"), "{error}");
    assert_eq!(registry.requests().len(), 11);
    for (target, why) in [
        ("http://169.254.169.254/latest", "the address is in a private network"),
        ("file:///etc/passwd", "leads to what is no HTTP address"),
    ] {
        registry.clear_script();
        let location = vec![("Location".to_owned(), target.to_owned())];
        registry.script(Rule::on(Route::Manifest).effect(Effect::Answer {
            status: 307,
            headers: location,
            body: vec![],
        }));
        let error = pull(&registry, options()).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    let secure = ScriptedRegistry::start_tls();
    secure.put_image("app", "v1", &[]);
    registry.clear_script();
    secure.script(Rule::on(Route::Manifest).effect(Effect::RedirectTo(307, registry.url())));
    let error = pull(&secure, options()).unwrap_err();
    assert!(error.to_string().ends_with("is refused: it leaves HTTPS"), "{error}");
}

#[test]
fn token_realms_are_checked() {
    let registry = ScriptedRegistry::start();
    registry.put_image("app", "v1", &[]);
    for (realm, why) in [
        ("http://example.com/token", "not reached over HTTPS"),
        ("http://10.0.0.1/token", "not reached over HTTPS"),
        ("https://169.254.169.254/token", "private network"),
        ("https://user:pw@example.com/token", "user name"),
        ("ftp://example.com/token", "HTTPS"),
        ("nonsense", "not a URL"),
    ] {
        registry.set_access(Access::Bearer {
            user: "bob".into(),
            password: "hunter2".into(),
            refresh_token: None,
            anonymous_pull: false,
            realm: Some(realm.to_owned()),
        });
        let error = pull(&registry, options_for("bob", "hunter2")).unwrap_err();
        assert!(error.to_string().contains(why), "{realm}: {error}");
        assert_eq!(error.kind(), Kind::Denied);
    }
}

#[test]
fn token_services_may_not_redirect_elsewhere() {
    let registry = ScriptedRegistry::start();
    let elsewhere = ScriptedRegistry::start();
    registry.put_image("app", "v1", &[]);
    registry.set_access(Access::bearer("bob", "hunter2"));
    registry.script(Rule::on(Route::Token).effect(Effect::RedirectTo(307, elsewhere.url())));
    let error = pull(&registry, options_for("bob", "hunter2")).unwrap_err();
    assert!(error.to_string().contains("refused, since the request may carry a credential"), "{error}");
    assert_eq!(elsewhere.requests().len(), 0);
}

#[test]
fn uploads_to_another_host_take_no_credentials_along() {
    let sample = suite::sample("location");
    let registry = ScriptedRegistry::start();
    let elsewhere = ScriptedRegistry::start();
    registry.set_access(Access::basic("bob", "hunter2"));
    registry.set_uploads(UploadRules { absolute_location: true, ..UploadRules::default() });
    let place = format!("{}/v2/app/blobs/uploads/upload-1", elsewhere.url());
    registry.script(Rule::on(Route::UploadStart).effect(Effect::SetHeader("Location".into(), place)));
    let remote = remote_with(&registry, "app", Rights::Push, options_for("bob", "hunter2"));
    run(copy(&sample.place, &remote, &sample.manifest, &CopyOptions { retries: 0, ..CopyOptions::new(&Silent) }))
        .unwrap_err();
    assert!(!elsewhere.requests().is_empty());
    assert_eq!(shown(&elsewhere), Vec::<String>::new());
}

#[test]
fn no_message_shows_a_secret() {
    let registry = ScriptedRegistry::start();
    let elsewhere = ScriptedRegistry::start();
    registry.put_image("app", "v1", &[vec![1; 10]]);
    let signed = format!("{}/bucket?X-Amz-Signature=topsecret", elsewhere.url());
    let mut messages = Vec::new();
    for status in [403, 500] {
        for access in [Access::Open, Access::basic("bob", "hunter2"), Access::bearer("bob", "hunter2")] {
            registry.set_access(access);
            registry.clear_script();
            let headers = vec![("Location".to_owned(), signed.clone())];
            registry.script(Rule::on(Route::Blob).effect(Effect::Answer { status: 307, headers, body: Vec::new() }));
            let body = b"<Error><StringToSign>topsecret</StringToSign></Error>".to_vec();
            elsewhere.clear_script();
            elsewhere.script(Rule::on(Route::Any).effect(Effect::Answer { status, headers: Vec::new(), body }));
            let mut options = options_for("bob", "hunter2");
            options.retry.attempts = 1;
            let remote = remote_with(&registry, "app", Rights::Pull, options);
            let error = run(async {
                let root = remote.resolve(&reference(&registry, "app:v1")).await?;
                let options = CopyOptions { retries: 0, ..CopyOptions::new(&Silent) };
                copy(&remote, &MemoryPlace::new(), &root, &options).await
            });
            messages.push(format!("{:?} {remote:?}", error.unwrap_err()));
        }
    }
    registry.set_access(Access::bearer("bob", "hunter2"));
    registry.clear_script();
    registry.script(Rule::on(Route::Token).effect(Effect::Body(b"\"token-secret".to_vec())));
    messages.push(format!("{:?}", pull(&registry, options_for("bob", "hunter2")).unwrap_err()));
    for message in messages {
        for secret in ["hunter2", "topsecret", "token-", "Ym9iOmh1bnRlcjI="] {
            assert!(!message.contains(secret), "{message}");
        }
    }
}
