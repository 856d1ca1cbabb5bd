//! A terminal in memory, as far as indicatif uses one; for tests.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use indicatif::TermLike;

/// Characters of one column each, wrapped at the right edge as terminals do. Without colours.
#[derive(Debug, Clone)]
pub(super) struct FakeTerminal {
    columns: u16,
    rows: u16,
    screen: Arc<Mutex<Screen>>,
}

#[derive(Debug, Default)]
struct Screen {
    lines: Vec<String>,
    row: usize,
}

impl Screen {
    fn line(&mut self) -> &mut String {
        if self.lines.len() <= self.row {
            self.lines.resize(self.row + 1, String::new());
        }
        &mut self.lines[self.row]
    }

    fn write(&mut self, text: &str, columns: usize) {
        for c in console::strip_ansi_codes(text).chars() {
            if c == '\n' {
                self.row += 1;
                continue;
            }
            if self.line().chars().count() == columns {
                self.row += 1;
            }
            self.line().push(c);
        }
    }
}

impl FakeTerminal {
    pub(super) fn new(columns: u16, rows: u16) -> Self {
        Self {
            columns,
            rows,
            screen: Arc::default(),
        }
    }

    /// What is on the screen, without blanks at the ends of lines and empty lines at the end.
    pub(super) fn contents(&self) -> String {
        let lines = self.screen().lines.clone();
        let trimmed: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
        trimmed.join("\n").trim_end().to_owned()
    }

    fn screen(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock().expect("no test thread panicked")
    }
}

impl TermLike for FakeTerminal {
    fn width(&self) -> u16 {
        self.columns
    }

    fn height(&self) -> u16 {
        self.rows
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        let mut screen = self.screen();
        screen.row = screen.row.saturating_sub(n);
        Ok(())
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.screen().row += n;
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)?;
        self.screen().row += 1;
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.screen().write(text, self.columns.into());
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.screen().line().clear();
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
