//! At a question: a signal ends the command, and nothing was done.

use nix::sys::signal::Signal;

use crate::harness::World;
use crate::harness::account::Account;
use crate::harness::terminal::OnTerminal;

#[test]
fn a_signal_at_a_question_ends_the_command_and_nothing_is_done() {
    let world = World::without_booting();
    world.muck(&["up", "--local"]).exits(0);
    let before = Account::of(&world).left_overs();
    for arguments in [
        &["down", "--local"] as &[&str],
        // Commands that answer signals themselves.
        &["local", "reset"],
    ] {
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            let mut asked = OnTerminal::start(world.command(arguments));
            asked.wait_for("[y/N]");
            asked.signal(signal);
            let (code, printed) = asked.ends();
            assert_eq!(code, Some(130), "{arguments:?} {signal}: {printed}");
            assert!(
                printed.contains("interrupted: nothing was done"),
                "{printed}"
            );
        }
    }
    let mut asked = OnTerminal::start(world.command(&["down", "--local"]));
    asked.wait_for("[y/N]");
    asked.write("n\n");
    let (code, printed) = asked.ends();
    assert_eq!(code, Some(1), "{printed}");
    assert_eq!(Account::of(&world).left_overs(), before);

    let mut asked = OnTerminal::start(world.command(&["down", "--local"]));
    asked.wait_for("[y/N]");
    asked.write("y\n");
    let (code, printed) = asked.ends();
    assert_eq!(code, Some(0), "{printed}");
    assert_eq!(Account::of(&world).left_overs(), Vec::<String>::new());
}
