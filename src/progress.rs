//! How far a command is: a bar on a terminal, plain lines elsewhere, on stderr.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::terminal::tell;

/// Without a terminal, one line so often.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Bad rows that are printed; the others are counted.
const BAD_ROWS_SHOWN: u64 = 10;

/// Shows the progress of one thing.
pub struct Display {
    name: String,
    bar: Option<ProgressBar>,
    began: Instant,
    next_line: Instant,
    bad_rows: u64,
}

/// Takes the bar away.
pub struct Handle(Option<ProgressBar>);

impl Handle {
    /// Nothing of it stays on the screen.
    pub fn clear(self) {
        if let Some(bar) = self.0 {
            bar.finish_and_clear();
        }
    }
}

impl Display {
    /// Draws nothing yet.
    pub fn new(name: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            bar.set_prefix(name.to_owned());
            bar.set_style(style("{spinner} {prefix} {elapsed} {msg}"));
            bar
        });
        Self {
            name: name.to_owned(),
            bar,
            began: Instant::now(),
            next_line: Instant::now() + LINE_EVERY,
            bad_rows: 0,
        }
    }

    /// For the end.
    pub fn handle(&self) -> Handle {
        Handle(self.bar.clone())
    }

    /// So many a second until now.
    pub fn rate(&self, count: u64) -> f64 {
        count as f64 / self.began.elapsed().as_secs_f64().max(1e-3)
    }

    /// Takes in how many rows of how many are done.
    pub fn rows(&mut self, rows: u64, total: u64) {
        let figures = format!("{:.0} rows/s", self.rate(rows));
        self.show(Some((rows, total)), &figures);
    }

    /// Takes in how much of how much is done, where that is known, and what else there
    /// is to say.
    pub fn show(&mut self, share: Option<(u64, u64)>, figures: &str) {
        let share = share.filter(|(_, total)| *total > 0);
        if let Some(bar) = &self.bar {
            bar.set_message(figures.to_owned());
            match share {
                Some((done, total)) => {
                    if bar.length().is_none() {
                        bar.set_length(total);
                        let bar_and_rest = "{prefix} [{bar:30}] {percent} % {msg} {eta}";
                        bar.set_style(style(bar_and_rest).progress_chars("=> "));
                    }
                    bar.set_position(done);
                }
                None => bar.tick(),
            }
        } else if Instant::now() >= self.next_line {
            self.next_line = Instant::now() + LINE_EVERY;
            let percent = |(done, total)| format!("{:.0} %", 100.0 * done as f64 / total as f64);
            let parts = [share.map(percent), Some(figures.to_owned())];
            let parts: Vec<_> = parts
                .into_iter()
                .flatten()
                .filter(|part| !part.is_empty())
                .collect();
            if !parts.is_empty() {
                tell(&format!("{}: {}", self.name, parts.join(", ")));
            }
        }
    }

    /// Tells of something besides, above the bar.
    pub fn notice(&self, text: &str) {
        self.print(&format!("{}: {text}", self.name));
    }

    /// Tells of a row that was not taken, and after some of them only that there are
    /// more.
    pub fn bad_row(&mut self, line: u64, cause: &str) {
        self.bad_rows += 1;
        match self.bad_rows {
            ..=BAD_ROWS_SHOWN => self.print(&format!("{}:{line}: {cause}", self.name)),
            shown if shown == BAD_ROWS_SHOWN + 1 => {
                self.notice("more bad rows follow; they are counted");
            }
            _ => {}
        }
    }

    fn print(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| tell(line)),
            None => tell(line),
        }
    }
}

/// The fixed texts are known to be valid templates; another would show a plain bar.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A size as people read it.
pub fn bytes(bytes: u64) -> String {
    match bytes as f64 {
        size if size >= 1e9 => format!("{:.2} GB", size / 1e9),
        size if size >= 1e6 => format!("{:.1} MB", size / 1e6),
        size if size >= 1e3 => format!("{:.1} kB", size / 1e3),
        _ => format!("{bytes} bytes"),
    }
}
