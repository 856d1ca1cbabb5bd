//! What each permission of the worker is for.

/// What is worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// A clip that was never converted.
    Clip,
    /// The same once more: there is a verdict.
    Again,
    /// A message without a header: a dead letter.
    Unreadable,
    /// A clip that takes its time to come: over the ten seconds after which it is told how far it is.
    Slow,
    /// A clip whose verdict is none: the message goes back.
    Broken,
    /// None, while another worker has a message and no worker is the keeper any more.
    Spare,
}

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A status message that tells a conversion.
    Status,
    /// Nothing is left in the input queue.
    Deleted,
    DeadLetter,
    /// Of the worker's start.
    Mail,
    Log,
    Progress,
    /// The message waits for another worker, and not for the end of this one's hold.
    BackAtOnce,
    /// This worker is the keeper: it has taken the lease that another had given up.
    Keeper,
}

/// Shows that a permission is needed: what does not come of which work, and after how many refusals that is
/// certain.
pub(super) struct Scenario(pub Work, pub Outcome, pub usize);

/// The scenario for a permission; `None` if nobody has said what it is for.
pub(super) fn scenario(action: &str, resource: &str) -> Option<Scenario> {
    let is = |what: &str| resource.ends_with(what);
    let input = resource.contains("muck-w-input");
    Some(match action {
        "s3:GetObject" if input && is("/media/*") => Scenario(Work::Clip, Outcome::Status, 1),
        // Before the conversion, and when the verdict that is there is in the way of another.
        "s3:GetObject" if !input && is("/verdicts/*") => Scenario(Work::Again, Outcome::Status, 2),
        "s3:PutObject" if !input && (is("/media/*") || is("/verdicts/*")) => {
            Scenario(Work::Clip, Outcome::Status, 1)
        }
        // Writing shows that there is a lease, and reading, whose it is.
        "s3:GetObject" if is("/keeper.json") => Scenario(Work::Spare, Outcome::Keeper, 2),
        "s3:PutObject" if is("/keeper.json") => Scenario(Work::Spare, Outcome::Keeper, 1),
        "sqs:ReceiveMessage" | "sqs:GetQueueAttributes" if input => {
            Scenario(Work::Clip, Outcome::Status, 1)
        }
        "sqs:DeleteMessage" if input => Scenario(Work::Clip, Outcome::Deleted, 1),
        "sqs:ChangeMessageVisibility" if input => Scenario(Work::Broken, Outcome::BackAtOnce, 1),
        "sqs:SendMessage" if is("muck-w-failed") => {
            Scenario(Work::Unreadable, Outcome::DeadLetter, 1)
        }
        "s3:PutObject" if !input && is("/logs/*") => Scenario(Work::Clip, Outcome::Log, 1),
        "s3:PutObject" if !input && is("/progress/*") => Scenario(Work::Slow, Outcome::Progress, 1),
        "sqs:SendMessage" if is("muck-w-output") => Scenario(Work::Clip, Outcome::Status, 1),
        "sns:Publish" if is("muck-w-notify") => Scenario(Work::Clip, Outcome::Mail, 1),
        _ => return None,
    })
}
