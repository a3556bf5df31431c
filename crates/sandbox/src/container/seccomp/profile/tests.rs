use super::*;

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let check = |text: &str, expected: &str| {
        let got = Profile::parse(text).map_or_else(|why| why, |_| "taken".to_owned());
        assert_eq!(got, expected, "{text}");
    };
    let rule = |rule: &str, expected: &str| {
        check(
            &format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"name":"a"}},{{{rule}}}]}}"#)
                .replace(r#"{"name":"a"}"#, r#"{"name":"a","action":"SCMP_ACT_KILL"}"#),
            expected,
        );
    };
    check("", "EOF while parsing a value at line 1 column 0");
    check("[1]", "it is a list, where an object is wanted");
    check("{}", "taken");
    check(r#"{"syscalls":null,"odd":1}"#, "taken");
    check(r#"{"defaultAction":"ODD"}"#, "defaultAction: string ODD is not a valid action for seccomp");
    check(r#"{"syscalls":[{"name":"a"}]}"#, "defaultAction: string  is not a valid action for seccomp");
    check(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_ODD"]}"#,
        "string SCMP_ARCH_ODD is not a valid arch for seccomp",
    );
    check(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"archMap":[{}]}"#,
        "'architectures' and 'archMap' were specified in the seccomp profile, use either 'architectures' or 'archMap'",
    );
    check(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["ODD"]}"#,
        "flags[0]: string ODD is not a valid flag for seccomp",
    );
    check(r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrno":"EODD"}"#, "defaultErrno: \"EODD\" is no error");
    rule(r#""action":"ODD""#, "syscalls[1].action: string ODD is not a valid action for seccomp");
    rule(
        r#""action":"SCMP_ACT_NOTIFY""#,
        "syscalls[1].action: SCMP_ACT_NOTIFY is not supported: there is nobody to ask",
    );
    rule(r#""action":"SCMP_ACT_ERRNO","errnoRet":5000"#, "syscalls[1].errnoRet: 5000 is no error");
    rule(r#""action":"SCMP_ACT_ERRNO","errno":"EODD""#, "syscalls[1].errno: \"EODD\" is no error");
    rule(
        r#""action":"SCMP_ACT_KILL","name":"a","names":["b"]"#,
        "syscalls[1]: 'name' and 'names' were specified in the seccomp profile, use either 'name' or 'names'",
    );
    rule(
        r#""action":"SCMP_ACT_KILL","args":[{"op":"SCMP_CMP_EQ"},{"op":"ODD"}]"#,
        "syscalls[1].args[1].op: string ODD is not a valid operator for seccomp",
    );
    rule(
        r#""action":"SCMP_ACT_KILL","args":[{"index":6,"op":"SCMP_CMP_EQ"}]"#,
        "syscalls[1].args[0].index: syscalls only have up to 6 arguments (6 given)",
    );
    rule(
        r#""action":"SCMP_ACT_KILL","excludes":{"minKernel":"x"}"#,
        "syscalls[1].excludes.minKernel: invalid kernel version: \"x\", expected \"<kernel>.<major>\"",
    );
    rule(r#""action":"SCMP_ACT_KILL","args":null,"includes":{"caps":null}"#, "taken");
}

#[test]
fn rules_count_where_their_conditions_hold() {
    let check = |conditions: &str, expected: bool| {
        let text = format!(
            r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"names":["a"],"action":"SCMP_ACT_ALLOW",{conditions}}}]}}"#
        );
        let profile = Profile::parse(&text).expect("a profile");
        let circumstances = Circumstances { capabilities: &[21, 18], kernel: (5, 10) };
        assert_eq!(profile.rules(circumstances).count() == 1, expected, "{conditions}");
    };
    check(r#""includes":{},"excludes":{}"#, true);
    check(r#""includes":{"caps":["CAP_SYS_ADMIN","CAP_SYS_CHROOT"]}"#, true);
    check(r#""includes":{"caps":["CAP_SYS_ADMIN","CAP_BPF"]}"#, false);
    check(r#""excludes":{"caps":["CAP_BPF","CAP_SYS_ADMIN"]}"#, false);
    check(r#""excludes":{"caps":["CAP_BPF"]}"#, true);
    check(r#""includes":{"minKernel":"5.10"}"#, true);
    check(r#""includes":{"minKernel":"5.11"}"#, false);
    check(r#""excludes":{"minKernel":"4.8"}"#, false);
    check(&format!(r#""includes":{{"arches":["s390","{}"]}}"#, OWN.1), true);
    check(r#""includes":{"arches":["s390"]}"#, false);
    check(&format!(r#""excludes":{{"arches":["{}"]}}"#, OWN.1), false);
}

#[test]
fn errors_have_names() {
    let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrno":"ENOSYS","syscalls":[
        {"names":["a"],"action":"SCMP_ACT_ERRNO","errno":"EINVAL"},{"names":["a"],"action":"SCMP_ACT_ERRNO","errno":"13"},
        {"names":["a"],"action":"SCMP_ACT_ERRNO","errno":"EINVAL","errnoRet":2},{"names":["a"],"action":"SCMP_ACT_ERRNO"}]}"#;
    let profile = Profile::parse(text).expect("a profile");
    let circumstances = Circumstances { capabilities: &[], kernel: (6, 0) };
    let answers: Vec<u32> = profile.rules(circumstances).map(|rule| rule.answer & 0xffff).collect();
    assert_eq!((profile.default, answers), (Some(FAIL | 38), vec![22, 13, 2, 1]));
}

/// As Go's decoder reads names of members.
#[test]
fn names_of_members_have_no_case() {
    let told = |text: &str| Profile::parse(text).map_or_else(|why| why, |profile| format!("{:?}", profile.rules));
    let plain = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO","errnoRet":5,
        "args":[{"index":0,"valueTwo":1,"value":1,"op":"SCMP_CMP_EQ"}],"includes":{"minKernel":"4.8","caps":["CAP_CHOWN"]}}]}"#;
    let odd = plain
        .replace("defaultAction", "DEFAULTACTION")
        .replace("syscalls", "SysCalls")
        .replace("errnoRet", "errnoret")
        .replace("valueTwo", "ValueTwo")
        .replace("minKernel", "minkernel");
    assert_ne!(odd, plain);
    assert_eq!(told(&odd), told(plain));
    assert!(told(plain).contains("mkdir"), "{}", told(plain));
    assert_eq!(told(r#"{"DefaultAction":"ODD"}"#), "defaultAction: string ODD is not a valid action for seccomp");
}
