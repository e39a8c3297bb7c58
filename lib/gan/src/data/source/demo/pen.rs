//! Drawing with tiny-skia: smooth shapes through points, soft spots, gradients.

use tiny_skia::{
    Color, FillRule, GradientStop, LineCap, LinearGradient, Paint, Path, PathBuilder, Pixmap, Point, Rect,
    Shader, SpreadMode, Stroke, Transform,
};

/// Points, `x, y; x, y; …`.
macro_rules! points {
    ($($x:expr, $y:expr);+) => { [$(($x, $y)),+] };
}
pub(super) use points;

/// Colors from bytes, `r, g, b; r, g, b; …`.
macro_rules! colors {
    ($($r:expr, $g:expr, $b:expr);+) => { [$(Rgb::of($r, $g, $b)),+] };
}
pub(super) use colors;

/// A point, in pixels.
pub(super) type Xy = (f32, f32);

/// `points` with `x` from 0 on scaled by `k`, then moved by `to`.
pub(super) fn placed(points: &[Xy], to: Xy, k: f32) -> Vec<Xy> {
    points.iter().map(|&(x, y)| (to.0 + k * x, to.1 + y)).collect()
}

/// A shape of which `half` is the right half, clockwise from the axis `x` = 0 on.
pub(super) fn mirrored(half: &[Xy]) -> Vec<Xy> {
    let left = half.iter().rev().filter(|&&(x, _)| x != 0.0).map(|&(x, y)| (-x, y));
    half.iter().copied().chain(left).collect()
}

/// A color: red, green, blue in 0..=1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rgb(pub(super) f32, pub(super) f32, pub(super) f32);

impl Rgb {
    pub(super) const BLACK: Rgb = Rgb(0.0, 0.0, 0.0);
    pub(super) const WHITE: Rgb = Rgb(1.0, 1.0, 1.0);

    /// From bytes.
    pub(super) const fn of(r: u8, g: u8, b: u8) -> Rgb {
        Rgb(r as f32 / 255.0, g as f32 / 255.0, b as f32 / 255.0)
    }

    /// `self` at `t` = 0, `other` at 1.
    pub(super) fn mix(self, other: Rgb, t: f32) -> Rgb {
        let mix = |a: f32, b: f32| a + (b - a) * t;
        Rgb(mix(self.0, other.0), mix(self.1, other.1), mix(self.2, other.2))
    }

    /// Times `k`.
    pub(super) fn lit(self, k: f32) -> Rgb {
        Rgb(self.0 * k, self.1 * k, self.2 * k)
    }

    /// Perceived brightness, 0 to 1.
    pub(super) fn luma(self) -> f32 {
        0.3 * self.0 + 0.59 * self.1 + 0.11 * self.2
    }

    fn alpha(self, alpha: f32) -> Color {
        let c = |v: f32| v.clamp(0.0, 1.0);
        Color::from_rgba(c(self.0), c(self.1), c(self.2), c(alpha)).expect("clamped")
    }
}

/// What a shape is filled with.
pub(super) enum Ink {
    /// One color and its opacity.
    Flat(Rgb, f32),
    /// A gradient of three colors from one point to another.
    Fade(Xy, Xy, [Rgb; 3]),
    /// A gradient of two colors from one point to another; faster, for large areas.
    Wash(Xy, Xy, [Rgb; 2]),
}

impl From<Rgb> for Ink {
    fn from(color: Rgb) -> Ink {
        Ink::Flat(color, 1.0)
    }
}

/// The image that is drawn, and the pen's position in it.
pub(super) struct Pen {
    pixmap: Pixmap,
    /// From the coordinates of the drawing to those of the image.
    pub(super) pose: Transform,
}

impl Pen {
    pub(super) fn new(width: u32, height: u32) -> Pen {
        Pen { pixmap: Pixmap::new(width, height).expect("not empty"), pose: Transform::identity() }
    }

    /// Bytes, `[height, width, 3]`. What was not covered is black.
    pub(super) fn into_rgb(self) -> Vec<u8> {
        self.pixmap.data().chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect()
    }

    fn paint<'a>(ink: impl Into<Ink>) -> Paint<'a> {
        let shader = match ink.into() {
            Ink::Flat(color, alpha) => Shader::SolidColor(color.alpha(alpha)),
            Ink::Fade(from, to, [a, b, c]) => gradient(from, to, &[(0.0, a), (0.5, b), (1.0, c)]),
            Ink::Wash(from, to, [a, b]) => gradient(from, to, &[(0.0, a), (1.0, b)]),
        };
        Paint { shader, anti_alias: true, ..Paint::default() }
    }

    fn fill_path(&mut self, path: Option<Path>, ink: impl Into<Ink>) {
        if let Some(path) = path {
            self.pixmap.fill_path(&path, &Pen::paint(ink), FillRule::Winding, self.pose, None);
        }
    }

    fn stroke_path(&mut self, path: Option<Path>, stroke: Stroke, ink: impl Into<Ink>) {
        if let Some(path) = path {
            self.pixmap.stroke_path(&path, &Pen::paint(ink), &stroke, self.pose, None);
        }
    }

    /// Fills the entire image, independent of the pose.
    pub(super) fn backdrop(&mut self, ink: impl Into<Ink>) {
        let (w, h) = (self.pixmap.width() as f32, self.pixmap.height() as f32);
        let all = Rect::from_xywh(0.0, 0.0, w, h).expect("not empty");
        self.pixmap.fill_rect(all, &Pen::paint(ink), Transform::identity(), None);
    }

    /// A smooth closed shape through `points`.
    pub(super) fn blob(&mut self, points: &[Xy], ink: impl Into<Ink>) {
        self.fill_path(spline(points, true), ink);
    }

    /// A smooth line through `points`, `width` wide, with round ends.
    pub(super) fn line(&mut self, points: &[Xy], width: f32, ink: impl Into<Ink>) {
        let stroke = Stroke { width, line_cap: LineCap::Round, ..Stroke::default() };
        self.stroke_path(spline(points, false), stroke, ink);
    }

    /// The outline of a smooth closed shape.
    pub(super) fn ring(&mut self, points: &[Xy], width: f32, ink: impl Into<Ink>) {
        self.stroke_path(spline(points, true), Stroke { width, ..Stroke::default() }, ink);
    }

    /// A stroke that is `width` wide in the middle and has pointed ends: brows, lids, strands.
    pub(super) fn taper(&mut self, points: &[Xy], width: f32, ink: impl Into<Ink>) {
        let last = points.len() - 1;
        let swell = |i: usize| width / 2.0 * (std::f32::consts::PI * i as f32 / last as f32).sin();
        let above = points.iter().enumerate().map(|(i, &(x, y))| (x, y - swell(i)));
        let below =
            points.iter().enumerate().rev().skip(1).take(last - 1).map(|(i, &(x, y))| (x, y + swell(i)));
        let outline: Vec<Xy> = above.chain(below).collect();
        self.fill_path(spline(&outline, true), ink);
    }

    /// An ellipse of half axes `rx`, `ry`.
    pub(super) fn ellipse(&mut self, (x, y): Xy, rx: f32, ry: f32, ink: impl Into<Ink>) {
        let oval = Rect::from_xywh(x - rx, y - ry, 2.0 * rx, 2.0 * ry).and_then(PathBuilder::from_oval);
        self.fill_path(oval, ink);
    }

    /// A soft spot: `color` at `alpha` in the middle, falling off as the bell (1 − r²)² to nothing at the rim
    /// of an ellipse of half axes `rx`, `ry`. There are many of these, and a loop is several times faster
    /// than a radial gradient.
    pub(super) fn spot(&mut self, (x, y): Xy, rx: f32, ry: f32, color: Rgb, alpha: f32) {
        let ellipse = self.pose.pre_concat(Transform::from_row(rx, 0.0, 0.0, ry, x, y));
        let Some(inverse) = ellipse.invert() else { return };
        let (half_w, half_h) = (ellipse.sx.hypot(ellipse.kx), ellipse.ky.hypot(ellipse.sy));
        let span = |center: f32, half: f32, len: u32| {
            let from = (center - half).max(0.0) as usize;
            from..((center + half).ceil().max(0.0) as usize).min(len as usize)
        };
        let columns = span(ellipse.tx, half_w, self.pixmap.width());
        let stride = self.pixmap.width() as usize * 4;
        for row in span(ellipse.ty, half_h, self.pixmap.height()) {
            let (px, py) = (columns.start as f32 + 0.5, row as f32 + 0.5);
            let mut u = inverse.sx * px + inverse.kx * py + inverse.tx;
            let mut v = inverse.ky * px + inverse.sy * py + inverse.ty;
            let bytes = columns.start * 4..columns.end * 4;
            let Some(pixels) = self.pixmap.data_mut()[row * stride..].get_mut(bytes) else { continue };
            for pixel in pixels.chunks_exact_mut(4) {
                let near = (1.0 - u * u - v * v).max(0.0);
                let cover = alpha * near * near;
                // The backdrop made every pixel opaque, so there is no alpha to blend.
                for (channel, target) in pixel.iter_mut().zip([color.0, color.1, color.2]) {
                    let value = f32::from(*channel);
                    *channel = (value + (target * 255.0 - value) * cover + 0.5) as u8;
                }
                u += inverse.sx;
                v += inverse.ky;
            }
        }
    }
}

fn gradient<'a>(from: Xy, to: Xy, stops: &[(f32, Rgb)]) -> Shader<'a> {
    let stops = stops.iter().map(|&(at, color)| GradientStop::new(at, color.alpha(1.0))).collect();
    let (from, to) = (Point::from_xy(from.0, from.1), Point::from_xy(to.0, to.1));
    LinearGradient::new(from, to, stops, SpreadMode::Pad, Transform::identity())
        .expect("two different points")
}

/// A Catmull-Rom spline through `points` as cubic Béziers.
fn spline(points: &[Xy], closed: bool) -> Option<Path> {
    let n = points.len();
    let at = |i: isize| {
        let i = if closed { i.rem_euclid(n as isize) } else { i.clamp(0, n as isize - 1) };
        points[i as usize]
    };
    let mut path = PathBuilder::new();
    path.move_to(points.first()?.0, points.first()?.1);
    for i in 0..(if closed { n } else { n - 1 }) as isize {
        let (before, from, to, after) = (at(i - 1), at(i), at(i + 1), at(i + 2));
        let leave = (from.0 + (to.0 - before.0) / 6.0, from.1 + (to.1 - before.1) / 6.0);
        let arrive = (to.0 - (after.0 - from.0) / 6.0, to.1 - (after.1 - from.1) / 6.0);
        path.cubic_to(leave.0, leave.1, arrive.0, arrive.1, to.0, to.1);
    }
    if closed {
        path.close();
    }
    path.finish()
}
