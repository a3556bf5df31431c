//! How an image is run.

use dhow_spec::ImageConfig;
use dhow_spec::config::{NameSet, RunConfig};

use super::html::{Attribute, Html, clipped};
use super::image;

/// The section of the page. Labels have one of their own.
pub(super) fn section(html: &mut Html, config: &ImageConfig) {
    let Some(run) = &config.config else { return };
    let facts: Vec<(&str, String)> = facts(config, run).into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let environment = run.env.as_deref().unwrap_or_default();
    if facts.is_empty() && environment.is_empty() {
        return;
    }
    html.element("section", &[], |html| {
        html.leaf("h2", &[], "Configuration");
        html.element("dl", &[(Attribute::Class, "pairs")], |html| {
            for (name, value) in &facts {
                html.leaf("dt", &[(Attribute::Class, "word")], name);
                html.leaf("dd", &[], &clipped(value));
            }
        });
        if !environment.is_empty() {
            html.leaf("h3", &[], "Environment");
            image::pairs(html, environment.iter().map(|entry| entry.split_once('=').unwrap_or((entry, ""))));
        }
    });
}

fn facts(config: &ImageConfig, run: &RunConfig) -> Vec<(&'static str, String)> {
    let names = |set: &Option<NameSet>| {
        set.as_ref().map(|set| set.0.iter().cloned().collect::<Vec<_>>().join("  ")).unwrap_or_default()
    };
    let health = run.healthcheck.as_ref().and_then(|check| check.test.as_deref());
    vec![
        ("Entry point", words(run.entrypoint.as_deref())),
        ("Command", words(run.cmd.as_deref())),
        ("Folder", run.working_dir.clone()),
        ("User", run.user.clone()),
        ("Ports", names(&run.exposed_ports)),
        ("Volumes", names(&run.volumes)),
        ("Stop signal", run.stop_signal.clone().unwrap_or_default()),
        ("Health", words(health)),
        ("Shell", words(run.shell.as_deref())),
        ("Author", config.author.clone().unwrap_or_default()),
    ]
}

/// Words as the config has them: quoted, so that each can be told from the next.
fn words(words: Option<&[String]>) -> String {
    let words = words.unwrap_or_default();
    match words.is_empty() {
        true => String::new(),
        false => serde_json::to_string(words).unwrap_or_default().replace("\",\"", "\", \""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_shown_and_nothing_else() {
        let config = br#"{"rootfs":{"type":"layers"},"config":{"Entrypoint":["/bin/a","b c"],"Env":["A=1=2","<i>"],"ExposedPorts":{"80/tcp":{}},"User":""}}"#;
        let mut html = Html::default();
        section(&mut html, &ImageConfig::parse(config).expect("a config"));
        let html = html.into_string();
        for part in ["[&quot;/bin/a&quot;, &quot;b c&quot;]", "80/tcp", "<dt>A</dt><dd>1=2</dd>", "<dt>&lt;i&gt;</dt>"]
        {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert!(!html.contains("User") && !html.contains("Volumes"), "{html}");
    }
}
