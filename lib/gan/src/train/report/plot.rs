//! Charts as a PNG, one below the other.

use tiny_skia::{Color as Ink, FillRule, Paint, PathBuilder, Pixmap, Rect, Stroke, StrokeDash, Transform};

use super::chart::{Chart, Color, Column};
use super::glyph::{ADVANCE, HEIGHT, glyph};
use crate::data::image::encode_png;

/// Pixels of a chart's width and height.
const SIZE: [usize; 2] = [960, 360];
/// Where the curves are in a chart: left, top, right, bottom.
const FRAME: [f32; 4] = [84.0, 44.0, 936.0, 304.0];
/// Columns of pixels that curves have.
pub const COLUMNS: usize = (FRAME[2] - FRAME[0]) as usize;
const INK: Color = [51, 51, 51];
const FAINT: Color = [226, 226, 226];
/// Screen pixels for a pixel of a glyph.
const SCALE: f32 = 2.0;

/// A PNG of charts.
///
/// A line is the mean of each column's points, the band behind it their range. An axis holds every point of the lines;
/// bands may leave it.
pub fn png(charts: &[Chart]) -> Vec<u8> {
    let (width, height) = (SIZE[0], SIZE[1] * charts.len());
    let mut canvas = Canvas(Pixmap::new(width as u32, height as u32).expect("a size above 0"));
    canvas.0.fill(Ink::WHITE);
    for (i, chart) in charts.iter().enumerate() {
        draw(chart, (i * SIZE[1]) as f32, &mut canvas);
    }
    let rgb: Vec<u8> = canvas.0.pixels().iter().flat_map(|p| [p.red(), p.green(), p.blue()]).collect();
    encode_png(width, height, 3, &rgb, &[])
}

/// Draws a chart from the row `above` on.
fn draw(chart: &Chart, above: f32, canvas: &mut Canvas) {
    let [left, top, right, bottom] = FRAME;
    let (top, bottom) = (top + above, bottom + above);
    let (horizontal, vertical) = (chart.horizontal(), chart.vertical());
    let x = |step: f64| left + (right - left) * horizontal.place(step) as f32;
    let y = |value: f64| (bottom - (bottom - top) * vertical.place(value) as f32).clamp(top, bottom);

    for (value, text) in &vertical.ticks {
        canvas.rect([left, y(*value) - 0.5, right, y(*value) + 0.5], FAINT);
        canvas.text(text, left - 10.0, y(*value), Align::Right);
    }
    for (step, text) in &horizontal.ticks {
        canvas.rect([x(*step) - 0.5, bottom, x(*step) + 0.5, bottom + 6.0], INK);
        canvas.text(text, x(*step), bottom + 18.0, Align::Center);
    }
    for curve in &chart.curves {
        let at = |c: &Column, value: f64| (x(c.x), y(value));
        let columns = curve.columns.iter().filter(|c| c.mean.is_finite());
        canvas.band(columns.clone().map(|c| (at(c, c.range.start), at(c, c.range.end))), curve.color);
        canvas.line(columns.map(|c| at(c, c.mean)), curve.color, None);
    }
    if let Some((_, level)) = chart.mark {
        canvas.line([(left, y(level)), (right, y(level))].into_iter(), INK, dash());
    }
    canvas.rect([left, bottom - 0.5, right, bottom + 0.5], INK);
    canvas.rect([left - 0.5, top, left + 0.5, bottom], INK);
    canvas.text(chart.title, left, top - 24.0, Align::Left);
    canvas.text(chart.unit, right, bottom + 38.0, Align::Right);
    let mut from = right;
    for curve in chart.curves.iter().rev() {
        canvas.text(curve.name, from, top - 24.0, Align::Right);
        from -= text_width(curve.name) + 8.0;
        canvas.rect([from - 24.0, top - 26.0, from, top - 22.0], curve.color);
        from -= 48.0;
    }
    if let Some((name, _)) = chart.mark {
        canvas.text(name, from, top - 24.0, Align::Right);
        from -= text_width(name) + 8.0;
        canvas.line([(from - 36.0, top - 24.0), (from, top - 24.0)].into_iter(), INK, dash());
    }
}

fn dash() -> Option<StrokeDash> {
    StrokeDash::new(vec![8.0, 6.0], 0.0)
}

fn text_width(text: &str) -> f32 {
    (text.chars().count() as f32 * ADVANCE - 1.0) * SCALE
}

enum Align {
    Left,
    Center,
    Right,
}

struct Canvas(Pixmap);

impl Canvas {
    fn paint(color: Color, alpha: u8) -> Paint<'static> {
        let mut paint = Paint { anti_alias: true, ..Paint::default() };
        paint.set_color_rgba8(color[0], color[1], color[2], alpha);
        paint
    }

    /// Fills left, top, right, bottom.
    fn rect(&mut self, [left, top, right, bottom]: [f32; 4], color: Color) {
        if let Some(rect) = Rect::from_ltrb(left, top, right, bottom) {
            self.0.fill_rect(rect, &Canvas::paint(color, 255), Transform::identity(), None);
        }
    }

    fn line(&mut self, points: impl Iterator<Item = (f32, f32)>, color: Color, dash: Option<StrokeDash>) {
        let mut path = PathBuilder::new();
        for (x, y) in points {
            if path.is_empty() { path.move_to(x, y) } else { path.line_to(x, y) }
        }
        // A single point makes no line: `finish` has no path for it.
        if let Some(path) = path.finish() {
            let width = if dash.is_some() { 1.5 } else { 2.0 };
            let stroke = Stroke { width, dash, ..Stroke::default() };
            self.0.stroke_path(&path, &Canvas::paint(color, 255), &stroke, Transform::identity(), None);
        }
    }

    /// The faint area between pairs of (low, high) points.
    fn band(&mut self, pairs: impl Iterator<Item = ((f32, f32), (f32, f32))>, color: Color) {
        let (low, high): (Vec<_>, Vec<_>) = pairs.unzip();
        let mut path = PathBuilder::new();
        for (x, y) in low.into_iter().chain(high.into_iter().rev()) {
            if path.is_empty() { path.move_to(x, y) } else { path.line_to(x, y) }
        }
        path.close();
        if let Some(path) = path.finish() {
            let paint = Canvas::paint(color, 48);
            self.0.fill_path(&path, &paint, FillRule::Winding, Transform::identity(), None);
        }
    }

    /// Draws `text` with its middle at height `y`.
    fn text(&mut self, text: &str, x: f32, y: f32, align: Align) {
        let width = text_width(text);
        let left = match align {
            Align::Left => x,
            Align::Center => x - width / 2.0,
            Align::Right => x - width,
        };
        let (left, top) = (left.round(), (y - HEIGHT * SCALE / 2.0).round());
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

#[cfg(test)]
mod tests {
    use super::super::chart::{BLUE, Curve, ORANGE, columns};
    use super::*;

    fn chart(curves: [(&'static str, Color, &[f32]); 2]) -> Chart {
        let curves = curves.map(|(name, color, v)| Curve { name, color, columns: columns(v, COLUMNS) });
        Chart { title: "loss", unit: "step", curves: curves.to_vec(), mark: None }
    }

    /// The curves are where their values say: a loss of 1 is a level line, half-way up an axis that ends at 2.
    #[test]
    fn curves_lie_at_their_values() {
        let chart = chart([("D", BLUE, &[1.0; 50]), ("G", ORANGE, &[1.8; 50])]);
        let bytes = png(&[chart.clone(), Chart { mark: Some(("-log 4", 0.5)), ..chart }]);
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut rgb).unwrap();
        assert_eq!(rgb.len(), SIZE[0] * SIZE[1] * 2 * 3);
        let pixel =
            |x: usize, y: f32| <[u8; 3]>::try_from(&rgb[3 * (y as usize * SIZE[0] + x)..][..3]).unwrap();
        let [_, top, _, bottom] = FRAME;
        let at = |value: f32| bottom - value / 2.0 * (bottom - top);
        for below in [0.0, SIZE[1] as f32] {
            assert_eq!(pixel(500, at(1.0) + below), BLUE);
            assert_eq!(pixel(500, at(1.8) + below), ORANGE);
            assert_eq!(pixel(500, at(1.25) + below), [255; 3]);
        }
        // The second one's mark is dashed.
        let row: Vec<[u8; 3]> = (200..300).map(|x| pixel(x, at(0.5) + SIZE[1] as f32)).collect();
        assert!(row.iter().any(|p| p[0] < 120) && row.iter().any(|p| p[0] > 200));
    }

    #[test]
    fn no_steps_a_single_one_and_nan_draw_axes_and_no_more() {
        for values in [&[][..], &[0.5], &[f32::NAN, 0.5]] {
            assert!(!png(&[chart([("D", BLUE, values), ("G", ORANGE, values)])]).is_empty());
        }
    }

    #[test]
    fn every_character_that_charts_write_has_a_glyph() {
        let unknown = glyph('\u{0}');
        for text in
            ["0123456789.-k", "loss", "value of the game", "probability of real", "score", "step", "epoch"]
                .into_iter()
                .chain(["D(x)", "D(G(z))", "-log 4", "FD-SqueezeNet"])
        {
            assert!(text.chars().all(|c| glyph(c) != unknown), "{text}");
        }
    }
}
