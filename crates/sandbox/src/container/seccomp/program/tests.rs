use super::super::bpf::{KILL_THREAD, TRAP, answer};
use super::*;

const FREE: Circumstances<'_> = Circumstances { capabilities: &[], kernel: (6, 0) };

fn compiled(default: &str, more: &str, rules: &str) -> Result<Vec<sock_filter>, String> {
    let text = format!(r#"{{"defaultAction":"SCMP_ACT_{default}",{more}"syscalls":[{rules}]}}"#);
    let profile = Profile::parse(&text).unwrap_or_else(|why| panic!("{why}: {text}"));
    compile(&profile, FREE).map(Option::unwrap_or_default)
}

fn rule(errno: u32, arguments: &str) -> String {
    format!(r#"{{"names":["socket"],"action":"SCMP_ACT_ERRNO","errnoRet":{errno},"args":[{arguments}]}}"#)
}

fn comparison(index: u32, operator: &str, value: u64, second: u64) -> String {
    format!(r#"{{"index":{index},"op":"SCMP_CMP_{operator}","value":{value},"valueTwo":{second}}}"#)
}

fn socket() -> u32 {
    Numbers::of(Architecture::Own).get("socket").expect("a number")
}

/// What a filter of these rules answers to socket(2): the error that it fails with, or 0.
fn error(rules: &[String], arguments: &[u64]) -> u32 {
    let program = compiled("ALLOW", "", &rules.join(",")).expect("a program");
    match answer(&program, OWN, socket(), arguments) {
        ALLOW => 0,
        answer => answer - FAIL,
    }
}

#[test]
fn arguments_are_compared_with_all_their_bits() {
    const LARGE: u64 = 1 << 32;
    let check = |operator: &str, value: u64, second: u64, holds: &[u64], fails: &[u64]| {
        let rules = [rule(7, &comparison(1, operator, value, second))];
        for (arguments, expected) in [(holds, 7), (fails, 0)] {
            for argument in arguments {
                assert_eq!(error(&rules, &[0, *argument]), expected, "{argument:#x} {operator} {value:#x}");
            }
        }
    };
    check("EQ", LARGE + 5, 0, &[LARGE + 5], &[5, LARGE, 2 * LARGE + 5]);
    check("NE", LARGE + 5, 0, &[5, LARGE, 2 * LARGE + 5], &[LARGE + 5]);
    check("GT", LARGE + 5, 0, &[LARGE + 6, 2 * LARGE], &[LARGE + 5, 6, 0]);
    check("GE", LARGE + 5, 0, &[LARGE + 6, LARGE + 5, 2 * LARGE], &[LARGE + 4, 6, 0]);
    check("LT", LARGE + 5, 0, &[LARGE + 4, 6, 0], &[LARGE + 5, 2 * LARGE]);
    check("LE", LARGE + 5, 0, &[LARGE + 5, 6, 0], &[LARGE + 6, 2 * LARGE]);
    check("MASKED_EQ", LARGE + 6, LARGE + 2, &[LARGE + 2, LARGE + 0xb], &[LARGE + 6, 2, 0]);
}

/// What docker 20.10 with runc 1.1.5 and libseccomp 2.5.4 does with the same profiles.
#[test]
fn rules_of_one_call_weigh_as_with_libseccomp() {
    let equal = |argument, value| comparison(argument, "EQ", value, 0);
    let check = |rules: &[String], expected: &[(&[u64], u32)]| {
        for (arguments, expected) in expected {
            assert_eq!(error(rules, arguments), *expected, "{rules:?} {arguments:?}");
        }
    };
    check(&[rule(51, ""), rule(52, "")], &[(&[1, 2], 51)]);
    check(&[rule(51, &equal(0, 1)), rule(52, "")], &[(&[1, 2], 52), (&[2, 2], 52)]);
    check(&[rule(52, ""), rule(51, &equal(0, 1))], &[(&[1, 2], 52), (&[2, 2], 52)]);
    let (first, second) = (rule(51, &equal(0, 1)), rule(52, &equal(1, 2)));
    for rules in [[first.clone(), second.clone()], [second, first.clone()]] {
        check(&rules, &[(&[1, 2], 52), (&[1, 3], 51), (&[2, 2], 52), (&[0, 0], 0)]);
    }
    check(&[rule(51, &comparison(0, "GT", 5, 0)), rule(52, &equal(0, 10))], &[(&[10], 52), (&[6], 51), (&[5], 0)]);
    let either = format!("{},{}", comparison(0, "GT", 5, 0), comparison(0, "LT", 3, 0));
    check(&[rule(51, &either)], &[(&[6], 51), (&[2], 51), (&[4], 0)]);
    let both = format!("{},{}", equal(0, 1), equal(2, 9));
    check(&[rule(51, &both)], &[(&[1, 0, 9], 51), (&[1, 0, 8], 0), (&[2, 0, 9], 0)]);
    let twice = compiled("ALLOW", "", &[first.clone(), rule(52, &equal(0, 1))].join(","));
    assert_eq!(twice.err().as_deref(), Some("syscall socket: two actions for the same arguments"));
    assert!(compiled("ALLOW", "", &[first.clone(), first].join(",")).is_ok());
}

#[test]
fn calls_that_the_profile_is_too_old_for_are_not_there() {
    let rules =
        r#"{"names":["socket","nosuchcall"],"action":"SCMP_ACT_ALLOW"},{"name":"openat2","action":"SCMP_ACT_TRAP"}"#;
    let answers = |default: &str| {
        let program = compiled(default, "", rules).expect("a program");
        [socket(), 0, 437, 438].map(|number| answer(&program, OWN, number, &[]))
    };
    let refused = FAIL | 1;
    assert_eq!(answers("ERRNO"), [ALLOW, refused, TRAP, FAIL | 38]);
    assert_eq!(answers("KILL"), [ALLOW, KILL_THREAD, TRAP, FAIL | 38]);
    assert_eq!(answers("LOG"), [ALLOW, LOG, TRAP, LOG]);
}

#[test]
fn a_rule_may_be_longer_than_a_jump() {
    let many: Vec<String> = (0..100).map(|value| rule(value + 1, &comparison(0, "EQ", u64::from(value), 0))).collect();
    assert_eq!((error(&many, &[0]), error(&many, &[99]), error(&many, &[100])), (1, 100, 0));
    let more: Vec<String> = (0..1000).map(|value| rule(value + 1, &comparison(0, "EQ", u64::from(value), 0))).collect();
    let too_long = compiled("ALLOW", "", &more.join(",")).expect_err("too long");
    assert!(too_long.contains("it is too long"), "{too_long}");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn programs_of_other_architectures_are_judged_where_the_profile_names_them() {
    const X86: u32 = super::super::calls32::ARCHITECTURE;
    let rules =
        [rule(51, &comparison(0, "EQ", 1, 0)), r#"{"name":"mkdir","action":"SCMP_ACT_KILL"}"#.to_owned()].join(",");
    let own = compiled("ALLOW", "", &rules).expect("a program");
    // mkdir, socket, and socket by socketcall.
    for (number, arguments) in [(39, &[][..]), (359, &[1]), (102, &[1, 0])] {
        assert_eq!(answer(&own, X86, number, arguments), KILL_PROCESS);
    }
    assert_eq!(answer(&own, OWN, X32 | 39, &[]), KILL_PROCESS);
    let map =
        r#""archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86","SCMP_ARCH_X32"]}],"#;
    let all = compiled("ALLOW", map, &rules).expect("a program");
    let check =
        |number, arguments: &[u64], expected| assert_eq!(answer(&all, X86, number, arguments), expected, "{number}");
    check(39, &[], KILL_THREAD);
    check(83, &[], ALLOW);
    check(359, &[1], FAIL | 51);
    check(359, &[2], ALLOW);
    check(102, &[1, 0], FAIL | 51);
    check(102, &[3, 0], ALLOW);
    assert_eq!(answer(&all, OWN, X32 | 39, &[]), FAIL | 38);
    assert_eq!(answer(&all, OWN, 83, &[]), KILL_THREAD);
    let allowed = rules.replace("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW");
    let shut = compiled("ERRNO", map, &allowed).expect("a program");
    assert_eq!((answer(&shut, X86, 359, &[1]), answer(&shut, X86, 102, &[1])), (ALLOW, FAIL | 1));
}
