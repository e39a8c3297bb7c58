//! The loss plot: two curves, axes with numbers, a legend.

use std::ops::Range;

use tiny_skia::{Color, FillRule, Paint, PathBuilder, Pixmap, Rect, Stroke, Transform};

use crate::picture::encode_png;

/// Width and height in pixels.
const SIZE: (u32, u32) = (960, 540);
/// Where the curves are: left, top, right, bottom.
const FRAME: [f32; 4] = [72.0, 44.0, 936.0, 484.0];
/// The curves' names and colours (of the palette by Okabe and Ito 2008, told apart by the colour-blind too).
const CURVES: [(&str, [u8; 3]); 2] = [("D", [0, 114, 178]), ("G", [213, 94, 0])];
const INK: [u8; 3] = [51, 51, 51];
const FAINT: [u8; 3] = [226, 226, 226];
/// Screen pixels for a pixel of a glyph.
const SCALE: f32 = 2.0;
/// A glyph's advance, in its own pixels.
const ADVANCE: f32 = 6.0;
/// A glyph's height, in its own pixels.
const HEIGHT: f32 = 7.0;

/// A PNG of the losses (of D and of G) by step.
///
/// Where there are more steps than columns of pixels, the line is the mean of a column's steps and the band behind it
/// their range. The vertical axis starts at 0 and holds every point of the lines; bands may leave it at the top.
pub fn png(losses: &[[f32; 2]]) -> Vec<u8> {
    let mut canvas = Canvas(Pixmap::new(SIZE.0, SIZE.1).expect("a size above 0"));
    canvas.0.fill(Color::WHITE);
    let [left, top, right, bottom] = FRAME;
    let curves = [0, 1].map(|which| columns(losses, which, (right - left) as usize));
    let highest = curves.iter().flatten().map(|c| c.mean).fold(0.0, f32::max);
    let y_step = tick(highest as f64 / 5.0).max(1e-3);
    let y_top = ((highest as f64 / y_step).floor() + 1.0) * y_step;
    let x_step = tick(losses.len() as f64 / 8.0).max(1.0);
    let x_end = (losses.len().max(2)) as f64;
    // The first step is 1, and at the left edge.
    let x = |step: f64| left + (right - left) * ((step - 1.0) / (x_end - 1.0)) as f32;
    let y = |loss: f64| bottom - (bottom - top) * (loss / y_top) as f32;

    for i in 0..=(y_top / y_step).round() as u32 {
        let value = i as f64 * y_step;
        canvas.rect([left, y(value) - 0.5, right, y(value) + 0.5], FAINT);
        canvas.text(&number(value, y_step), left - 10.0, y(value), Align::Right);
    }
    let steps = std::iter::once(1.0).chain((1..).map(|i| i as f64 * x_step).take_while(|&s| s <= x_end));
    for step in steps.filter(|&s| s == 1.0 || s >= x_step.max(2.0)) {
        canvas.rect([x(step) - 0.5, bottom, x(step) + 0.5, bottom + 6.0], INK);
        canvas.text(&number(step, x_step), x(step), bottom + 18.0, Align::Centre);
    }
    for (curve, (_, colour)) in curves.iter().zip(CURVES) {
        let at = |c: &Column, loss: f32| (x(c.step), y(loss as f64).max(top));
        canvas.band(curve.iter().map(|c| (at(c, c.range.start), at(c, c.range.end))), colour);
        canvas.line(curve.iter().map(|c| at(c, c.mean)), colour);
    }
    canvas.rect([left, bottom - 0.5, right, bottom + 0.5], INK);
    canvas.rect([left - 0.5, top, left + 0.5, bottom], INK);
    canvas.text("loss", left, top - 20.0, Align::Centre);
    canvas.text("step", (left + right) / 2.0, bottom + 40.0, Align::Centre);
    for (i, (name, colour)) in CURVES.iter().enumerate() {
        let from = right - 130.0 + 70.0 * i as f32;
        canvas.rect([from, top - 22.0, from + 24.0, top - 18.0], *colour);
        canvas.text(name, from + 38.0, top - 20.0, Align::Centre);
    }
    let rgb: Vec<u8> = canvas.0.pixels().iter().flat_map(|p| [p.red(), p.green(), p.blue()]).collect();
    encode_png(SIZE.0 as usize, SIZE.1 as usize, 3, &rgb, &[])
}

/// Steps that share a column of pixels.
struct Column {
    /// Their middle.
    step: f64,
    mean: f32,
    range: Range<f32>,
}

/// The steps of one curve in at most `width` columns.
fn columns(losses: &[[f32; 2]], which: usize, width: usize) -> Vec<Column> {
    let per_column = losses.len().div_ceil(width).max(1);
    let column = |(i, steps): (usize, &[[f32; 2]])| {
        let values = || steps.iter().map(|s| s[which]);
        Column {
            step: (i * per_column) as f64 + (steps.len() + 1) as f64 / 2.0,
            mean: values().sum::<f32>() / steps.len() as f32,
            range: values().fold(f32::INFINITY, f32::min)..values().fold(f32::NEG_INFINITY, f32::max),
        }
    };
    losses.chunks(per_column).enumerate().map(column).collect()
}

/// The smallest of 1, 2, 5, 10, 20, … (and 0.5, 0.2, 0.1, …) that is at least `least`.
fn tick(least: f64) -> f64 {
    let power = 10f64.powf(least.max(1e-9).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|m| m * power)
        .into_iter()
        .find(|&t| t >= least * 0.999_999)
        .unwrap_or(10.0 * power)
}

/// A tick's number, with as many decimals as `step` needs; thousands as `k`.
fn number(value: f64, step: f64) -> String {
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    match value {
        v if v >= 10_000.0 && v % 1000.0 == 0.0 => format!("{}k", v / 1000.0),
        v => format!("{v:.decimals$}"),
    }
}

enum Align {
    Centre,
    Right,
}

struct Canvas(Pixmap);

impl Canvas {
    fn paint(colour: [u8; 3], alpha: u8) -> Paint<'static> {
        let mut paint = Paint { anti_alias: true, ..Paint::default() };
        paint.set_color_rgba8(colour[0], colour[1], colour[2], alpha);
        paint
    }

    /// Fills left, top, right, bottom.
    fn rect(&mut self, [left, top, right, bottom]: [f32; 4], colour: [u8; 3]) {
        if let Some(rect) = Rect::from_ltrb(left, top, right, bottom) {
            self.0.fill_rect(rect, &Canvas::paint(colour, 255), Transform::identity(), None);
        }
    }

    fn line(&mut self, points: impl Iterator<Item = (f32, f32)>, colour: [u8; 3]) {
        let mut path = PathBuilder::new();
        for (x, y) in points {
            if path.is_empty() { path.move_to(x, y) } else { path.line_to(x, y) }
        }
        // A single point makes no line: `finish` has no path for it.
        if let Some(path) = path.finish() {
            let stroke = Stroke { width: 2.0, ..Stroke::default() };
            self.0.stroke_path(&path, &Canvas::paint(colour, 255), &stroke, Transform::identity(), None);
        }
    }

    /// The faint area between pairs of (low, high) points.
    fn band(&mut self, pairs: impl Iterator<Item = ((f32, f32), (f32, f32))>, colour: [u8; 3]) {
        let (low, high): (Vec<_>, Vec<_>) = pairs.unzip();
        let mut path = PathBuilder::new();
        for (x, y) in low.into_iter().chain(high.into_iter().rev()) {
            if path.is_empty() { path.move_to(x, y) } else { path.line_to(x, y) }
        }
        path.close();
        if let Some(path) = path.finish() {
            let paint = Canvas::paint(colour, 48);
            self.0.fill_path(&path, &paint, FillRule::Winding, Transform::identity(), None);
        }
    }

    /// Draws `text` with its middle at height `y`.
    fn text(&mut self, text: &str, x: f32, y: f32, align: Align) {
        let width = (text.len() as f32 * ADVANCE - 1.0) * SCALE;
        let left = (x - if matches!(align, Align::Right) { width } else { width / 2.0 }).round();
        let top = (y - HEIGHT * SCALE / 2.0).round();
        for (i, c) in text.chars().enumerate() {
            let left = left + i as f32 * ADVANCE * SCALE;
            for (row, bits) in glyph(c).iter().enumerate() {
                for column in (0..5).filter(|column| bits >> (4 - column) & 1 == 1) {
                    let (x, y) = (left + column as f32 * SCALE, top + row as f32 * SCALE);
                    self.rect([x, y, x + SCALE, y + SCALE], INK);
                }
            }
        }
    }
}

/// The rows of a character, 5 pixels each, the leftmost in bit 4; a box for one that the plot does not write.
fn glyph(c: char) -> [u8; 7] {
    match c {
        '0' => [0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110],
        '1' => [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
        '2' => [0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111],
        '3' => [0b11111, 0b00010, 0b00100, 0b00010, 0b00001, 0b10001, 0b01110],
        '4' => [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010],
        '5' => [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110],
        '6' => [0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110],
        '7' => [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000],
        '8' => [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110],
        '9' => [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100],
        '.' => [0, 0, 0, 0, 0, 0b01100, 0b01100],
        'D' => [0b11100, 0b10010, 0b10001, 0b10001, 0b10001, 0b10010, 0b11100],
        'G' => [0b01110, 0b10001, 0b10000, 0b10111, 0b10001, 0b10001, 0b01111],
        'e' => [0, 0, 0b01110, 0b10001, 0b11111, 0b10000, 0b01110],
        'k' => [0b10000, 0b10000, 0b10010, 0b10100, 0b11000, 0b10100, 0b10010],
        'l' => [0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
        'o' => [0, 0, 0b01110, 0b10001, 0b10001, 0b10001, 0b01110],
        'p' => [0, 0, 0b11110, 0b10001, 0b11110, 0b10000, 0b10000],
        's' => [0, 0, 0b01110, 0b10000, 0b01110, 0b00001, 0b11110],
        't' => [0b01000, 0b01000, 0b11100, 0b01000, 0b01000, 0b01001, 0b00110],
        _ => [0b11111, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b11111],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        for (least, wanted) in [(1.0, 1.0), (1.1, 2.0), (3.0, 5.0), (7.0, 10.0), (0.03, 0.05), (117.5, 200.0)]
        {
            assert!((tick(least) - wanted).abs() < 1e-9, "{least}: {}", tick(least));
        }
        assert_eq!(number(0.5, 0.5), "0.5");
        assert_eq!(number(10.0, 5.0), "10");
        assert_eq!(number(20_000.0, 5000.0), "20k");
    }

    #[test]
    fn columns_keep_means_and_ranges() {
        let losses: Vec<[f32; 2]> = (0..10).map(|i| [i as f32, 0.0]).collect();
        let few = columns(&losses, 0, 4);
        assert_eq!(few.iter().map(|c| c.mean).collect::<Vec<_>>(), [1.0, 4.0, 7.0, 9.0]);
        assert_eq!(few.iter().map(|c| c.step).collect::<Vec<_>>(), [2.0, 5.0, 8.0, 10.0]);
        assert_eq!((few[1].range.start, few[1].range.end), (3.0, 5.0));
        assert_eq!(columns(&losses, 1, 100).len(), 10);
    }

    /// The curves are where their values say: a D loss of 1 is a level line, half-way up an axis that ends at 2.
    #[test]
    fn curves_lie_at_their_values() {
        let losses = [[1.0, 1.8]; 50];
        let mut reader = png::Decoder::new(std::io::Cursor::new(png(&losses))).read_info().unwrap();
        let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut rgb).unwrap();
        let pixel =
            |x: usize, y: usize| <[u8; 3]>::try_from(&rgb[3 * (y * SIZE.0 as usize + x)..][..3]).unwrap();
        let middle = ((FRAME[1] + FRAME[3]) / 2.0) as usize;
        assert_eq!(pixel(500, middle), CURVES[0].1);
        assert_eq!(pixel(500, (FRAME[3] - 0.9 * (FRAME[3] - FRAME[1])) as usize), CURVES[1].1);
        assert_eq!(pixel(500, middle - 30), [255; 3]);
        // No steps and a single one draw axes and no more.
        assert!(!png(&[]).is_empty() && !png(&[[0.5, 0.5]]).is_empty());
    }
}
