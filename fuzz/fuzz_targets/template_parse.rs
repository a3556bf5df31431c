//! A template that parses can be executed: with an output or a message, but always with an end.
#![no_main]

use dhow_template::{Options, Template, Value};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(template) = Template::parse(text) else { return };
    let data = Value::from(&serde_json::json!({"a": "text", "b": [1, 2.5, null, {"c": true}], "d": {"e": "f"}}));
    for missing_key_is_error in [false, true] {
        let options = Options { missing_key_is_error, is_header: missing_key_is_error };
        let mut output = Vec::new();
        let _ = template.execute(&data, options, &mut output);
    }
});
