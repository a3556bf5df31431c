//! No template runs on, whatever it says.

use dhow_template::{Options, Template, Value};

fn run(template: &str) -> Result<Vec<u8>, String> {
    let template = Template::parse(template).map_err(|error| error.to_string())?;
    let data = Value::from(&serde_json::json!({"s": "x".repeat(1 << 16), "l": [1, 2]}));
    let mut output = Vec::new();
    template.execute(&data, Options::default(), &mut output).map_err(|error| error.to_string())?;
    Ok(output)
}

fn refuses(template: &str, message: &str) {
    let error = run(template).expect_err(&template[..template.len().min(80)]);
    assert!(error.ends_with(message), "{}: {error}", &template[..template.len().min(80)]);
}

#[test]
fn loops_end() {
    let work = "the template does more work than is allowed";
    refuses("{{range 9223372036854775807}}{{end}}", work);
    refuses("{{range 100000}}{{range 100000}}{{range 100000}}x{{end}}{{end}}{{end}}", work);
}

#[test]
fn texts_stop_growing() {
    let work = "the template does more work than is allowed";
    refuses("{{$x := .s}}{{range 100}}{{$x = print $x $x}}{{end}}", work);
    refuses(
        "{{$x := .s}}{{range 100}}{{$x = html (printf `%999999d%s` 1 $x)}}{{end}}{{range 1000}}{{$x}}{{end}}",
        work,
    );
    refuses("{{range 10000}}{{json $}}{{end}}", work);
    refuses("{{range 1000000}}{{eq $.s $.s}}{{end}}", work);
    refuses("{{pad .s 9223372036854775807 1}}", "the text would be too long");
}

#[test]
fn depth_is_limited() {
    refuses("{{define `t`}}{{template `t` .}}{{end}}{{template `t` .}}", "exceeded maximum template depth (200)");
    let nested = |count: usize| format!("{{{{{}1{}}}}}", "(".repeat(count), ")".repeat(count));
    assert_eq!(run(&nested(90)).unwrap(), b"1");
    refuses(&nested(100_000), "max expression depth exceeded");
    refuses(&"{{if 1}}".repeat(100_000), "max expression depth exceeded");
    refuses(&"{{with 0}}{{else with 1}}{{else}}".repeat(100_000), "max expression depth exceeded");
    refuses(&format!("{{{{if 0}}}}{}", "{{else if 0}}".repeat(100_000)), "max expression depth exceeded");
}
