//! Ctrl-C: whatever `run` was doing, nothing is left.

use nix::sys::signal::Signal;

use crate::harness::World;
use crate::harness::account::Account;
use crate::harness::talking::Talking;

/// Starts `run`, sends SIGINT when stderr shows `line`, and returns the exit code with the talk.
fn interrupt_at(world: &World, line: &str) -> (Option<i32>, String) {
    let clip = World::sample("MVI_3113.AVI");
    let arguments = ["run", "--local", clip.to_str().expect("UTF-8"), "-o", "out"];
    let mut talking = Talking::start(world.command(&arguments));
    talking.until(line);
    talking.signal(Signal::SIGINT);
    talking.ends()
}

#[test]
fn an_interrupted_run_leaves_nothing() {
    let world = World::without_booting();
    // While the stack is made, while the builder runs, and while instances convert.
    for line in ["created", "launch the builder", "Instances"] {
        let (code, talk) = interrupt_at(&world, line);
        assert_eq!(code, Some(130), "{line}: {talk}");
        world.muck(&["plan", "--local"]).exits(3);
        assert_eq!(
            Account::of(&world).left_overs(),
            Vec::<String>::new(),
            "{line}: {talk}"
        );
        world.muck(&["local", "stop"]).exits(0);
    }
}
