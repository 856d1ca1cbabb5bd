//! How durations and speeds are written for people.

use std::time::Duration;

use muck_worker::text::quantity;

/// `0.3 s`, `42 s`, `3 min 20 s`, `2 h 05 min`.
pub fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    match whole {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Seconds of film converted in a second: `1.9×`. Clamped, because workers report the number.
pub fn speed(speed: f64) -> String {
    /// Faster than any machine.
    const MAX: f64 = 99_999.0;
    format!("{:.1}×", speed.clamp(0.0, MAX))
}

/// Lines cut to that many columns and, where they are more than `rows` less one for the cursor, without some of the middle.
pub(super) fn fitted(text: &str, rows: usize, columns: usize) -> String {
    let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    let room = rows.saturating_sub(1).max(3);
    if lines.len() > room {
        let first = room / 2;
        let left_out = lines.len() - (room - 1);
        lines.splice(
            first..first + left_out,
            [format!("… {} …", quantity(left_out, "more line"))],
        );
    }
    let cut = |line: &String| console::truncate_str(line, columns, "…").into_owned();
    lines.iter().map(cut).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let shown = [0.25, 42.0, 200.0, 7500.0].map(|s| seconds(Duration::from_secs_f64(s)));
        assert_eq!(shown, ["0.2 s", "42 s", "3 min 20 s", "2 h 05 min"]);
    }

    #[test]
    fn lines_fit_a_small_terminal() {
        let text = "stack films\na\nb\nc\nd\ne\nETA 3 s";
        assert_eq!(fitted(text, 8, 20), text);
        assert_eq!(fitted(text, 6, 8), "stack f…\na\n… 3 mor…\ne\nETA 3 s");
    }

    #[test]
    fn a_speed_is_short_whatever_a_worker_reports() {
        let shown = [1.94, -3.0, f64::MAX].map(speed);
        assert_eq!(shown, ["1.9×", "0.0×", "99999.0×"]);
    }
}
