//! Hair behind and over the head.

use std::f32::consts::{PI, TAU};

use super::pen::{Ink, Pen, Rgb, Xy, mirrored, placed, points};
use super::traits::{Style, Traits};

/// Light falls on hair from above: base, shine, shade.
fn ink(t: &Traits, from: Xy, to: Xy) -> Ink {
    let lit = |k: f32, glow: f32| t.hair.lit(k).mix(Rgb::of(255, 236, 206), glow);
    Ink::Fade(from, to, [lit(1.08, 0.02), lit(1.2, 0.07), lit(0.68, 0.0)])
}

/// A few strands along `points`, `step` apart, some lighter and some darker than the rest.
fn strands(pen: &mut Pen, t: &Traits, points: &[Xy], count: i32, step: Xy) {
    let light = t.hair.mix(Rgb::of(255, 232, 200), 0.3);
    for i in 0..count {
        let strand = placed(points, (step.0 * i as f32, step.1 * i as f32), 1.0);
        let color = if i % 2 == 0 { Ink::Flat(light, 0.22) } else { Ink::Flat(t.hair.lit(0.5), 0.28) };
        pen.taper(&strand, 3.0, color);
    }
}

/// The mass behind the head and neck.
pub(super) fn paint_behind(pen: &mut Pen, t: &Traits, head: f32) {
    let (v, x) = (t.volume * 3.0, 89.0 + head);
    let half: &[Xy] = match t.style {
        Style::Long => &points![
            0.0, 36.0 - v; 34.0 + v, 48.0; 50.0 + v, 82.0; 53.0 + v, 130.0; 56.0 + v, 190.0; 48.0, 240.0
        ],
        Style::Wavy => &points![
            0.0, 35.0 - v; 36.0 + v, 46.0; 53.0 + v, 78.0; 52.0 + v, 108.0; 61.0 + v, 138.0;
            56.0 + v, 168.0; 64.0 + v, 200.0; 44.0, 232.0
        ],
        Style::Bob => &points![
            0.0, 37.0 - v; 36.0 + v, 50.0; 51.0 + v, 84.0; 54.0 + v, 126.0; 52.0 + v, 158.0; 30.0, 170.0
        ],
        Style::Curly => {
            let (rx, ry) = (57.0 + 2.0 * v, 54.0 + 1.5 * v);
            // Bumps all around, a little below the crown.
            let bump = |i: i32| {
                let (angle, r) = (TAU * i as f32 / 36.0, if i % 2 == 0 { 1.0 } else { 0.93 });
                (angle.cos() * rx * r, 88.0 + angle.sin() * ry * r)
            };
            let rim = placed(&(0..36).map(bump).collect::<Vec<Xy>>(), (x, 0.0), 1.0);
            return pen.blob(&rim, ink(t, (89.0 - 40.0 * t.light, 40.0), (89.0 + 40.0 * t.light, 140.0)));
        }
        Style::Bun => {
            pen.ellipse((x, 34.0 - v), 20.0, 17.0, ink(t, (x - 14.0, 20.0), (x + 14.0, 52.0)));
            return pen.spot((x, 50.0 - v), 18.0, 6.0, Rgb::BLACK, 0.4);
        }
        Style::Bald | Style::Cropped | Style::SidePart | Style::Swept => return,
    };
    let shades = [t.hair.lit(0.8), t.hair.lit(0.66), t.hair.lit(0.52)];
    pen.blob(&placed(&mirrored(half), (x, 0.0), 1.0), Ink::Fade((89.0, 50.0), (89.0, 210.0), shades));
}

/// The hair over forehead, temples and cheeks.
pub(super) fn paint_over(pen: &mut Pen, t: &Traits, head: f32) {
    let (v, x) = (t.volume * 3.0, 89.0 + head);
    let (s, w) = (t.side, 1.0 + 0.05 * t.face_width);
    // In coordinates from the head's middle, with the parting on the right.
    let at = |points: &[Xy]| placed(points, (x, 0.0), s * w);
    let fill = ink(t, (89.0 + 34.0 * t.light, 40.0), (89.0 - 44.0 * t.light, 118.0));
    match t.style {
        Style::Bald => {
            for side in [-1.0, 1.0] {
                pen.spot((x + side * w * 40.0, 100.0), 9.0, 22.0, t.hair, 0.5);
            }
            pen.spot((x - 16.0 * t.light, 62.0), 22.0, 13.0, Rgb::WHITE, 0.25);
        }
        Style::Cropped => {
            let half = points![
                0.0, 43.0 - v; 20.0, 46.0 - v; 38.0, 60.0 - v; 44.0, 84.0; 42.0, 108.0; 38.0, 96.0;
                35.0, 80.0; 20.0, 73.0; 0.0, 72.0
            ];
            pen.blob(&at(&mirrored(&half)), fill);
        }
        Style::SidePart => {
            let cap = points![
                -43.0, 106.0; -46.0, 82.0; -41.0, 56.0 - v; -22.0, 41.0 - v; 4.0, 37.0 - v; 28.0, 43.0 - v;
                43.0, 62.0 - v; 45.0, 86.0; 42.0, 106.0; 39.0, 94.0; 34.0, 78.0; 24.0, 66.0; 6.0, 74.0;
                -16.0, 82.0; -34.0, 84.0; -39.0, 96.0
            ];
            pen.blob(&at(&cap), fill);
            let sweep = at(&[(24.0, 64.0), (10.0, 56.0 - v), (-16.0, 58.0 - v), (-36.0, 76.0)]);
            strands(pen, t, &sweep, 4, (0.0, -4.0));
        }
        Style::Swept => {
            let cap = points![
                -43.0, 104.0; -46.0, 80.0; -42.0, 54.0 - v; -24.0, 36.0 - 1.5 * v; 2.0, 31.0 - 1.5 * v;
                27.0, 38.0 - v; 42.0, 58.0 - v; 45.0, 84.0; 42.0, 104.0; 38.0, 90.0; 33.0, 76.0; 18.0, 68.0;
                0.0, 66.0; -18.0, 68.0; -33.0, 76.0; -38.0, 90.0
            ];
            pen.blob(&at(&cap), fill);
            let sweep = at(&[(-26.0, 68.0), (-26.0, 58.0 - v), (-16.0, 46.0 - v), (-2.0, 40.0 - v)]);
            strands(pen, t, &sweep, 6, (7.0 * s, 0.0));
        }
        Style::Curly => {
            let half = points![
                0.0, 40.0 - v; 18.0, 42.0 - v; 38.0, 52.0 - v; 50.0, 80.0; 44.0, 104.0; 40.0, 92.0;
                36.0, 78.0; 26.0, 74.0; 13.0, 70.0; 0.0, 73.0
            ];
            pen.blob(&at(&mirrored(&half)), fill);
            for i in 0..14 {
                let angle = PI * (1.0 + (i as f32 + 0.5) / 14.0);
                let curl = (x + angle.cos() * 42.0, 90.0 + angle.sin() * 38.0);
                pen.spot(curl, 8.0, 7.0, t.hair.mix(Rgb::of(255, 230, 200), 0.35), 0.3);
            }
        }
        Style::Bob | Style::Long | Style::Wavy | Style::Bun => paint_long_over(pen, t, head, fill),
    }
}

/// Long hair parted or with a fringe, and its locks beside the face.
fn paint_long_over(pen: &mut Pen, t: &Traits, head: f32, fill: Ink) {
    let (v, x) = (t.volume * 3.0, 89.0 + head);
    let (s, w) = (t.side, 1.0 + 0.05 * t.face_width);
    let at = |points: &[Xy]| placed(points, (x, 0.0), s * w);
    let locks = match t.style {
        Style::Long => Some([(47.0, 110.0), (48.0 + v, 150.0), (50.0 + v, 190.0), (44.0, 236.0)]),
        Style::Wavy => Some([(46.0, 108.0), (54.0 + v, 140.0), (47.0 + v, 172.0), (56.0, 214.0)]),
        Style::Bob => Some([(46.0, 110.0), (49.0 + v, 134.0), (48.0 + v, 154.0), (38.0, 166.0)]),
        _ => None,
    };
    if let Some([a, b, c, end]) = locks {
        let lock = points![
            32.0, 62.0; 44.0 + v * 0.5, 76.0; a.0 + 3.0, a.1; b.0 + 5.0, b.1; c.0 + 5.0, c.1; end.0, end.1;
            c.0 - 10.0, c.1 + 2.0; b.0 - 9.0, b.1; a.0 - 8.0, a.1; 36.0, 84.0
        ];
        let strand = [(41.0, 82.0), (a.0 - 2.0, a.1), (b.0 - 2.0, b.1), (c.0 - 2.0, c.1 + 6.0)];
        for side in [-1.0, 1.0] {
            let lock = placed(&lock, (x, 0.0), side * w);
            pen.blob(&lock, ink(t, (89.0, 60.0), (89.0 + side * 30.0, 215.0)));
            strands(pen, t, &placed(&strand, (x, 0.0), side * w), 2, (4.0 * side, 0.0));
        }
    }
    if t.fringe && t.style != Style::Bun {
        let half = points![
            0.0, 37.0 - v; 20.0, 40.0 - v; 40.0, 54.0 - v; 48.0, 82.0; 45.0, 112.0; 39.0, 98.0; 31.0, 91.0;
            14.0, 93.0; 0.0, 92.0
        ];
        pen.blob(&at(&mirrored(&half)), fill);
        let strand = at(&[(-2.0, 44.0 - v), (-16.0, 60.0), (-24.0, 88.0)]);
        strands(pen, t, &strand, 5, (9.0 * s, 0.0));
    } else {
        let part = if t.style == Style::Bun { 0.0 } else { 14.0 };
        let cap = points![
            -44.0, 112.0; -48.0, 82.0; -41.0, 55.0 - v; -22.0, 40.0 - v; 2.0, 37.0 - v; 26.0, 42.0 - v;
            43.0, 58.0 - v; 48.0, 84.0; 44.0, 112.0; 40.0, 96.0; 35.0, 80.0; part + 8.0, 65.0; part, 61.0;
            part - 10.0, 66.0; -32.0, 80.0; -40.0, 96.0
        ];
        pen.blob(&at(&cap), fill);
        let strand = at(&[(part, 58.0), (-10.0, 54.0 - v), (-32.0, 68.0), (-42.0, 92.0)]);
        strands(pen, t, &strand, 3, (0.0, -5.0));
        let strand = at(&[(part + 1.0, 58.0), (28.0, 56.0 - v), (42.0, 74.0), (44.0, 94.0)]);
        strands(pen, t, &strand, 2, (0.0, -5.0));
    }
}
