//! The worker's role: whatever its policy allows is needed, and nothing else is allowed.
//!
//! The real worker runs beside the local cloud with the credentials of an instance, as a thief on that instance
//! would get them. One permission at a time is taken out of the role's policy, and what the worker then fails
//! to do is looked at. The policy is read as it is: a permission that no scenario here needs fails the test.

mod queues;
mod scenario;
mod stage;
mod statements;
mod stolen;
mod thief;

use scenario::{Outcome, Scenario, Work, scenario};
use stage::{Stage, wait_until};
use statements::{permissions, without};

const STACK: &str = "w";

#[test]
fn each_permission_of_the_worker_is_needed() {
    let stage = Stage::open();
    let policy = stage.policy();

    // With all of them everything comes about.
    for (work, outcomes) in [
        (
            Work::Clip,
            &[
                Outcome::Status,
                Outcome::Deleted,
                Outcome::Mail,
                Outcome::Log,
            ][..],
        ),
        (Work::Again, &[Outcome::Status, Outcome::Deleted]),
        (Work::Unreadable, &[Outcome::DeadLetter]),
        (Work::Slow, &[Outcome::Progress, Outcome::Status]),
        (Work::Broken, &[Outcome::BackAtOnce]),
        (Work::Spare, &[Outcome::Keeper]),
    ] {
        let (mails, before) = (stage.mails(), stage.faults.last_call());
        stage.send(work);
        let mut worker = stage.start_worker();
        wait_until(
            || match work {
                // Left to itself it would take the message again and again.
                Work::Broken => stage.gave_back(before),
                Work::Spare => stage.came(Outcome::Keeper, mails),
                _ => worker.has_ended(),
            },
            || format!("{work:?}:\n{}", stage.log()),
        );
        worker.end();
        for outcome in outcomes {
            assert!(
                stage.came(*outcome, mails),
                "{work:?} {outcome:?}:\n{}",
                stage.log()
            );
        }
        stage.drain();
    }

    let mut all = permissions(&policy);
    // A message that is held to the end of its minute and a half is in nobody's way at the end.
    all.sort_by_key(|(_, action, _)| action == "sqs:ChangeMessageVisibility");
    for one in &all {
        let (number, action, resource) = one;
        let Some(Scenario(work, outcome, certain)) = scenario(action, resource) else {
            let sid = &policy["Statement"][*number]["Sid"];
            panic!(
                "the worker's policy allows {action} on {resource} (statement {sid}), and no scenario here \
                 needs it: say what it is for in `scenario`, or take it out of the policy"
            );
        };
        stage.set_policy(&without(&policy, one));
        if matches!(work, Work::Again | Work::Broken) {
            // The verdict is made anew: what was done since may have removed it.
            stage.set_policy(&policy);
            stage.send(Work::Clip);
            let mut worker = stage.start_worker();
            wait_until(|| worker.has_ended(), || stage.log());
            stage.drain();
            stage.set_policy(&without(&policy, one));
        }
        let (mails, before) = (stage.mails(), stage.faults.last_call());
        stage.send(work);
        let mut worker = stage.start_worker();
        wait_until(
            || stage.refusals(action, resource, before) >= certain,
            || {
                format!(
                    "the worker never asked for {action} on {resource}:\n{}",
                    stage.log()
                )
            },
        );
        worker.end();
        assert!(
            !stage.came(outcome, mails),
            "without {action} on {resource} there is all the same: {outcome:?}\n{}",
            stage.log()
        );
        stage.set_policy(&policy);
        // The last's message is held until nobody waits for it.
        if outcome != Outcome::BackAtOnce {
            stage.drain();
        }
    }
}

/// Over plain HTTP, from IMDSv1, or on another account's things, nothing of it is allowed.
#[test]
fn the_workers_permissions_hold_under_their_conditions_alone() {
    use localcloud::iam::Context;
    use localcloud::iam::policy::{Decision, Policy, evaluate};

    let names = muck::names::Names {
        stack: STACK.parse().expect("valid"),
        account: "000000000000".into(),
        region: "us-local-1".into(),
        extra_tags: std::collections::BTreeMap::new(),
    };
    let text = muck::stack::desired::worker_policy(&names, true).expect("renders");
    let policy = [Policy::parse(&text).expect("a policy")];
    for (_, action, resource) in permissions(&serde_json::from_str(&text).expect("JSON")) {
        let resource = resource.replace('*', "x");
        let decide = |key: &str, value: &str| {
            let mut context = Context::default();
            context.set("ec2:RoleDelivery", "2.0").set(key, value);
            evaluate(&policy, &action, &resource, &context)
        };
        assert_eq!(
            decide("aws:SecureTransport", "true"),
            Decision::Allow,
            "{action}"
        );
        for (key, value) in [
            ("aws:SecureTransport", "false"),
            ("ec2:RoleDelivery", "1.0"),
            ("aws:ResourceAccount", "123456789012"),
        ] {
            assert_eq!(decide(key, value), Decision::ImplicitDeny, "{action} {key}");
        }
    }
}
