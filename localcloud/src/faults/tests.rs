use super::*;

fn meant<'a>(service: &'a str, action: &'a str, principal: &'a str) -> Meant<'a> {
    Meant {
        service,
        action,
        principal,
        client: "",
    }
}

fn rule(json: &str) -> Rule {
    serde_json::from_str(json).unwrap()
}

fn touched(rule: Rule, calls: usize) -> Vec<bool> {
    let faults = Faults::default();
    faults.set(vec![rule]);
    (0..calls)
        .map(|_| {
            faults
                .judge(&meant("ec2", "RunInstances", "root"))
                .fault
                .is_some()
        })
        .collect()
}

#[test]
fn counts_only_what_matches() {
    let faults = Faults::default();
    faults.set(vec![rule(
        r#"{"service":"ec2","action":"RunInstances","principal":"root","nth":2,"fault":{"kind":"throttle"}}"#,
    )]);
    let throttled = |service, action, principal| {
        faults.judge(&meant(service, action, principal)).fault == Some(Fault::Throttle)
    };
    assert!(!throttled("ec2", "RunInstances", "root"));
    assert!(!throttled("ec2", "DescribeImages", "root"));
    assert!(!throttled("ec2", "RunInstances", "role/w/i-1"));
    assert!(throttled("ec2", "RunInstances", "root"));
    assert!(!throttled("ec2", "RunInstances", "root"));
}

#[test]
fn nth_and_times_give_a_range() {
    let kind = r#""fault":{"kind":"unavailable"}"#;
    assert_eq!(
        touched(rule(&format!(r#"{{"nth":2,"times":2,{kind}}}"#)), 5),
        [false, true, true, false, false]
    );
    assert_eq!(
        touched(rule(&format!(r#"{{"times":1,{kind}}}"#)), 3),
        [true, false, false]
    );
    assert_eq!(touched(rule(&format!("{{{kind}}}")), 3), [true; 3]);
}

#[test]
fn a_seed_gives_the_same_draws() {
    let text = r#"{"probability":0.5,"seed":7,"fault":{"kind":"internal_error"}}"#;
    let first = touched(rule(text), 64);
    assert_eq!(first, touched(rule(text), 64));
    let hits = first.iter().filter(|hit| **hit).count();
    assert!((10..55).contains(&hits), "{hits} of 64");
    assert_ne!(first, touched(rule(&text.replace('7', "8")), 64));
}

#[test]
fn delays_add_up_beside_another_fault() {
    let faults = Faults::default();
    faults.set(vec![
        rule(r#"{"fault":{"kind":"delay","ms":100}}"#),
        rule(r#"{"fault":{"kind":"error","code":"Odd"}}"#),
        rule(r#"{"fault":{"kind":"delay","ms":20}}"#),
    ]);
    let verdict = faults.judge(&meant("s3", "GetObject", "root"));
    assert_eq!(verdict.delay, Duration::from_millis(120));
    let error = verdict.fault.unwrap().error("s3").unwrap();
    assert_eq!((error.code.as_str(), error.status), ("Odd", 400));
}

#[test]
fn unknown_fields_and_kinds_are_refused() {
    for bad in [
        r#"{"fault":{"kind":"explode"}}"#,
        r#"{"fault":{"kind":"delay","ms":1,"s":2}}"#,
        r#"{"servce":"ec2","fault":{"kind":"throttle"}}"#,
    ] {
        assert!(serde_json::from_str::<Rule>(bad).is_err(), "{bad}");
    }
}

/// A call of `client`, in a service and an action that no test here looks at.
fn called<'a>(principal: &'a str, client: &'a str) -> Meant<'a> {
    Meant {
        service: "iam",
        action: "GetRole",
        principal,
        client,
    }
}

#[test]
fn a_rule_knows_clients_apart() {
    let faults = Faults::default();
    faults.set(vec![rule(
        r#"{"client":"one","fault":{"kind":"throttle"}}"#,
    )]);
    assert_eq!(faults.judge(&called("root", "two")).fault, None);
    assert_eq!(
        faults.judge(&called("root", "one")).fault,
        Some(Fault::Throttle)
    );
}

#[test]
fn a_frozen_client_gets_no_further() {
    for (word, phase) in [
        ("before", Phase::Before),
        ("after", Phase::After),
        ("answered", Phase::Answered),
    ] {
        let faults = Faults::default();
        let text = format!(
            r#"{{"client":"one","action":"GetRole","nth":2,"fault":{{"kind":"freeze","phase":"{word}"}}}}"#
        );
        faults.set(vec![rule(&text)]);
        let judge = |client| faults.judge(&called("root", client)).fault;
        assert_eq!(judge("one"), None);
        assert_eq!(judge("one"), Some(Fault::Freeze { phase }));
        // Whatever it calls then is held, while others go on.
        assert_eq!(judge("one"), Some(Fault::TimeoutBefore));
        assert_eq!(judge("two"), None);
        assert_eq!(faults.judge(&called("role/w/i-1", "one")).fault, None);
        faults.set(vec![]);
        assert_eq!(judge("one"), None);
    }
}

#[test]
fn an_expired_caller_stays_expired_until_new_rules() {
    let faults = Faults::default();
    let kind = r#"{"action":"CreateQueue","nth":1,"fault":{"kind":"expire"}}"#;
    faults.set(vec![rule(kind)]);
    let fault = |service, action, principal| faults.judge(&meant(service, action, principal)).fault;
    assert_eq!(fault("sqs", "GetQueueUrl", "root"), None);
    assert_eq!(fault("sqs", "CreateQueue", "root"), Some(Fault::Expire));
    assert_eq!(fault("ec2", "DescribeImages", "root"), Some(Fault::Expire));
    assert_eq!(fault("ec2", "DescribeImages", "role/w/i-1"), None);
    let code = |service| Fault::Expire.error(service).expect("an error").code;
    assert_eq!(
        (code("ec2"), code("s3")),
        ("RequestExpired".into(), "ExpiredToken".into())
    );
    faults.set(Vec::new());
    assert_eq!(fault("sqs", "GetQueueUrl", "root"), None);
}
