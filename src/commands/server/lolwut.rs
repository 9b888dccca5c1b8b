//! LOLWUT: draws a random Lissajous figure and the version.
//!
//! The canvas is made of braille characters, each of which holds 2 by 4 dots:
//!
//! ```text
//! 1 4
//! 2 5     U+2800 plus a bit for each dot, numbered as here
//! 3 6
//! 7 8
//! ```

use crate::commands::support::args;
use std::f64::consts::TAU;

use crate::engine::{Call, Done, Outcome};
use crate::services::config::REDIS_VERSION;

/// Bit of the dot at `[y][x]`.
const DOTS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
const COLUMNS: usize = 33;
const ROWS: usize = 13;
/// Points of the curve.
const STEPS: usize = 4000;

/// A Lissajous figure: periods of the horizontal and the vertical oscillation in one round, and the phase between them.
struct Figure {
    horizontal: u64,
    vertical: u64,
    phase: f64,
}

impl Figure {
    /// The lines of the canvas.
    fn draw(&self) -> String {
        let mut cells = [[0u8; COLUMNS]; ROWS];
        let scale = |value: f64, dots: usize| ((value + 1.0) / 2.0 * (dots - 1) as f64).round() as usize;
        for step in 0..STEPS {
            let t = TAU * step as f64 / STEPS as f64;
            let x = scale((self.horizontal as f64 * t + self.phase).sin(), COLUMNS * 2);
            let y = scale((self.vertical as f64 * t).sin(), ROWS * 4);
            cells[y / 4][x / 2] |= DOTS[y % 4][x % 2];
        }
        let line = |row: &[u8; COLUMNS]| -> String {
            row.iter().filter_map(|dots| char::from_u32(0x2800 + u32::from(*dots))).chain(['\n']).collect()
        };
        cells.iter().map(line).collect()
    }
}

/// `LOLWUT [VERSION n]`: the version number chooses the periods, else they are random; the phase always is.
pub(in crate::commands) fn lolwut(call: &mut Call<'_>) -> Outcome {
    let rng = &mut *call.db.rng;
    let mut figure =
        Figure { horizontal: 1 + rng.below(6), vertical: 1 + rng.below(6), phase: rng.unit() * TAU };
    let is_version = call.args.get(1).is_some_and(|word| word.eq_ignore_ascii_case(b"version"));
    if let (true, Some(version)) = (is_version, call.args.get(2)) {
        let version = args::integer(version)?;
        figure.horizontal = 1 + version.unsigned_abs() % 7;
        figure.vertical = figure.horizontal + 1;
    }
    let picture = figure.draw();
    let text = format!(
        "{picture}\nOne loop, {} by {}. Redis ver. {REDIS_VERSION}\n",
        figure.horizontal, figure.vertical
    );
    call.reply.verbatim(b"txt", text.as_bytes());
    Ok(Done::Replied)
}
