//! A face from behind to front: backdrop, hair, body, head, features, hair, glasses.

use tiny_skia::Transform;

use super::hair;
use super::pen::{Ink, Pen, Rgb, Xy, colors, mirrored, placed, points};
use super::traits::{Beard, Glasses, Style, Traits};
use super::{HEIGHT, WIDTH};

/// The position of the eyes, by which CelebA's images are aligned.
const EYE_Y: f32 = 112.0;
const EYE_X: f32 = 20.0;
/// The image's vertical axis through the face.
const MIDDLE: f32 = 89.0;

/// Values that several features share.
struct Look<'a> {
    t: &'a Traits,
    /// How far the head's outline is moved against the eyes by its turn, in pixels.
    head: f32,
    skin: Rgb,
    /// Skin in half shade and in shade.
    half: Rgb,
    shade: Rgb,
    /// How strongly lights and blush show on this skin.
    glow: f32,
}

/// Paints all of the face.
pub(super) fn paint(pen: &mut Pen, t: &Traits) {
    let half = t.skin.mix(Rgb::of(150, 70, 50), 0.22).lit(0.86);
    let shade = t.skin.mix(Rgb::of(110, 44, 34), 0.3).lit(0.66);
    let look = &Look { t, head: -t.yaw * 4.5, skin: t.skin, half, shade, glow: 0.15 + 0.85 * t.skin.luma() };
    paint_backdrop(pen, t);
    pen.pose = Transform::from_rotate_at(t.tilt, MIDDLE, EYE_Y)
        .pre_concat(Transform::from_translate(MIDDLE * (1.0 - t.scale), EYE_Y * (1.0 - t.scale)))
        .pre_scale(t.scale, t.scale)
        .post_translate(t.shift.0, t.shift.1);
    hair::paint_behind(pen, t, look.head);
    paint_body(pen, look);
    paint_ears(pen, look);
    paint_head(pen, look);
    paint_beard(pen, look);
    paint_nose(pen, look);
    paint_mouth(pen, look);
    for side in [-1.0, 1.0] {
        paint_eye(pen, look, side);
        paint_brow(pen, look, side);
    }
    hair::paint_over(pen, t, look.head);
    paint_glasses(pen, look);
}

fn paint_backdrop(pen: &mut Pen, t: &Traits) {
    let [a, b] = t.backdrop;
    let (w, h) = (WIDTH as f32, HEIGHT as f32);
    let across = t.light * w * 0.5;
    pen.backdrop(Ink::Wash((w / 2.0 - across, 0.0), (w / 2.0 + across, h), [a.lit(1.06), b.lit(0.82)]));
    for (i, &(x, y)) in t.lights.iter().enumerate() {
        let color = if i == 0 { Rgb::WHITE } else { b.lit(0.6) };
        pen.spot((x * w, y * h * 0.8), 70.0, 80.0, color, 0.22);
    }
}

fn paint_body(pen: &mut Pen, look: &Look) {
    let (t, x) = (look.t, MIDDLE + look.head * 0.7);
    let neck = 22.0 + 3.0 * t.jaw;
    // Shoulders, then the part of the neck above the clothes.
    let shoulders = [(0.0, 188.0), (26.0, 190.0), (56.0, 200.0), (84.0, 216.0), (100.0, 260.0)];
    let c = t.clothes;
    let (lit, dark) = (MIDDLE + 70.0 * t.light, MIDDLE - 70.0 * t.light);
    let shades = [c.lit(1.1), c, c.lit(0.7)];
    pen.blob(&placed(&mirrored(&shoulders), (x, 0.0), 1.0), Ink::Fade((lit, 190.0), (dark, 230.0), shades));
    let collar = if t.v_neck { 222.0 } else { 203.0 };
    let throat = points![
        x - neck, 150.0; x - neck, 176.0; x - neck - 8.0, 192.0; x, collar; x + neck + 8.0, 192.0;
        x + neck, 176.0; x + neck, 150.0
    ];
    let shades = [look.skin, look.half, look.shade];
    pen.blob(&throat, Ink::Fade((MIDDLE + 30.0 * t.light, 180.0), (MIDDLE - 40.0 * t.light, 190.0), shades));
    pen.spot((x, 176.0), 36.0, 20.0, look.shade.lit(0.7), 0.75);
}

fn paint_ears(pen: &mut Pen, look: &Look) {
    let t = look.t;
    for side in [-1.0, 1.0] {
        let x = MIDDLE + look.head * 1.2 + side * (41.5 + 1.8 * t.face_width);
        let lit = if side * t.light > 0.0 { look.skin } else { look.half };
        pen.ellipse((x, 122.0), 6.0, 12.0, lit.lit(0.95));
        pen.spot((x, 122.0), 4.5, 9.0, look.shade, 0.8);
        if t.earrings {
            pen.ellipse((x, 137.0), 2.6, 3.4, Rgb::of(236, 208, 140));
        }
    }
}

fn outline(look: &Look) -> Vec<Xy> {
    let t = look.t;
    let (w, jaw, chin) =
        (1.0 + 0.045 * t.face_width, 1.0 + 0.07 * t.jaw, 178.0 + 3.0 * t.chin + 1.5 * t.open);
    let half = points![
        0.0, 54.0; 21.0, 58.0; 37.0, 76.0; 41.5, 104.0; 39.5 * (0.5 + 0.5 * jaw), 132.0; 31.5 * jaw, 156.0;
        16.0 * jaw, chin - 6.0; 0.0, chin
    ];
    placed(&mirrored(&half), (MIDDLE + look.head, 0.0), w)
}

fn paint_head(pen: &mut Pen, look: &Look) {
    let (t, x) = (look.t, MIDDLE + look.head);
    let (lit, dark) = (x + 44.0 * t.light, x - 48.0 * t.light);
    let glow = look.skin.mix(Rgb::of(255, 240, 220), 0.18);
    pen.blob(&outline(look), Ink::Fade((lit, 96.0), (dark, 130.0), [glow, look.skin, look.half.lit(0.94)]));
    pen.spot((x + 10.0 * t.light, 80.0), 32.0, 22.0, Rgb::of(255, 244, 228), 0.3 * look.glow);
    pen.spot((x, 174.0 + 3.0 * t.chin), 26.0, 9.0, look.shade, 0.3);
    for side in [-1.0, 1.0] {
        let cheek = (MIDDLE + t.yaw * 1.5 + side * 25.0, 138.0);
        pen.spot(cheek, 15.0, 12.0, Rgb::of(222, 84, 84).lit(look.glow), 0.12 + 0.22 * t.blush);
        pen.spot((cheek.0 + 3.0 * t.light, 130.0), 11.0, 7.0, Rgb::of(255, 244, 230), 0.32 * look.glow);
        // The fold beside the mouth: deeper with a smile and with age.
        let fold = 0.12 + 0.22 * t.smile.max(0.0) + 0.3 * t.age;
        let m = MIDDLE + t.yaw * 3.0;
        let points = [(m + side * 13.0, 138.0), (m + side * 20.0, 146.0), (m + side * 22.5, 156.0)];
        pen.taper(&points, 2.4, Ink::Flat(look.shade, fold));
    }
    if t.age > 0.5 {
        for y in [78.0, 84.0] {
            let points = [(x - 20.0, y + 1.5), (x, y), (x + 20.0, y + 1.5)];
            pen.taper(&points, 1.6, Ink::Flat(look.shade, (t.age - 0.4) * 0.5));
        }
    }
}

fn paint_beard(pen: &mut Pen, look: &Look) {
    let (t, x, m) = (look.t, MIDDLE + look.head, MIDDLE + look.t.yaw * 3.0);
    let color = t.hair.lit(0.9);
    let chin = 178.0 + 3.0 * t.chin;
    match t.beard {
        Beard::None | Beard::Moustache => {}
        Beard::Stubble => {
            pen.spot((x, 168.0), 40.0, 24.0, t.hair.lit(0.7), 0.42);
            pen.spot((m, 146.5), 20.0, 6.0, t.hair.lit(0.7), 0.4);
        }
        Beard::Goatee => {
            pen.spot((m, 168.0), 20.0, 17.0, color, 0.95);
            let half = [(0.0, 163.0), (12.0, 166.0), (8.0, chin), (0.0, chin + 3.0)];
            pen.blob(&placed(&mirrored(&half), (m, 0.0), 1.0), color);
        }
        Beard::Full => {
            let jaw = 1.0 + 0.07 * t.jaw;
            let half = points![
                10.0, 165.0; 24.0, 160.0; 29.0, 146.0; 37.0, 132.0; 41.0, 116.0; 40.5, 136.0;
                34.0 * jaw, 158.0; 19.0 * jaw, chin - 1.0; 0.0, chin + 7.0
            ];
            let points = placed(&mirrored(&half), (x, 0.0), 1.0 + 0.045 * t.face_width);
            let shades = [color.lit(1.25), color, color.lit(0.75)];
            pen.blob(&points, Ink::Fade((x + 40.0 * t.light, 140.0), (x - 40.0 * t.light, 170.0), shades));
        }
    }
    if matches!(t.beard, Beard::Moustache | Beard::Full | Beard::Goatee) {
        let drop = if t.beard == Beard::Moustache { 151.0 } else { 156.0 };
        let half = [(0.0, 143.0), (9.0, 142.5), (18.0, 147.5), (22.0, drop), (10.0, 149.5), (0.0, 148.5)];
        pen.blob(&placed(&mirrored(&half), (m, 0.0), 1.0), color);
    }
}

fn paint_nose(pen: &mut Pen, look: &Look) {
    let t = look.t;
    let (x, tip) = (MIDDLE + t.yaw * 4.0, 137.0 + 2.0 * t.nose_length);
    let w = 9.0 + 1.6 * t.nose_width;
    let away = -t.light.signum();
    // The bridge: light on one side, shade on the other.
    let bridge =
        [(MIDDLE + t.yaw + away * 5.0, 108.0), (x + away * 5.0, 122.0), (x + away * w * 0.8, tip - 2.0)];
    pen.taper(&bridge, 5.0, Ink::Flat(look.half, 0.6));
    pen.spot((x - away * 1.0, 122.0), 4.5, 20.0, Rgb::of(255, 246, 232), 0.36 * look.glow);
    pen.spot((x, tip + 3.5), w * 1.25, 5.0, look.shade, 0.62);
    pen.spot((x - away * 1.2, tip - 3.0), 6.5, 6.0, Rgb::of(255, 246, 236), 0.45 * look.glow);
    for side in [-1.0, 1.0] {
        let wing = placed(&[(w, -4.0), (w + 0.8, 0.5), (w - 2.5, 3.0)], (x, tip), side);
        pen.line(&wing, 1.3, Ink::Flat(look.shade, 0.6));
        pen.ellipse((x + side * w * 0.48, tip + 2.6), 2.4, 1.3, Ink::Flat(look.shade.lit(0.5), 0.75));
    }
}

fn paint_mouth(pen: &mut Pen, look: &Look) {
    let t = look.t;
    let (x, y) = (MIDDLE + t.yaw * 3.0, 155.0);
    let w = 15.0 + 1.8 * t.mouth_width + 3.6 * t.smile.max(0.0);
    let lift = 3.6 * t.smile;
    let full = 3.6 + 1.1 * t.lip_fullness;
    let gape = 7.5 * t.open;
    let (corner, dip) = (y - lift, y + 1.6 * t.smile);
    let top = dip - gape * 0.25;
    let bottom = dip + gape * 0.75;
    let both = |half: &[Xy]| placed(&mirrored(half), (x, 0.0), 1.0);
    let upper = both(&points![
        0.0, top - full * 0.72; w * 0.16, top - full; w * 0.5, top - full * 0.8 - lift * 0.2; w, corner;
        w * 0.5, bottom + full * 1.0 - lift * 0.1; 0.0, bottom + full * 1.4
    ]);
    pen.spot((x, bottom + full * 1.4 + 3.5), w * 0.8, 4.5, look.shade, 0.5);
    let lips = t.lips;
    let shades = [lips.lit(0.82), lips.lit(0.96), lips.lit(1.08)];
    pen.blob(&upper, Ink::Fade((x, top - full), (x, bottom + full * 1.4), shades));
    if t.open > 0.0 {
        let inside = both(&points![
            0.0, top + 0.6; w * 0.4, top + 0.2; w * 0.86, corner + 0.5; w * 0.45, bottom - 0.6; 0.0, bottom
        ]);
        pen.blob(&inside, Rgb::of(92, 30, 34));
        let teeth = top + gape * 0.72;
        let white = both(&points![
            0.0, top + 0.8; w * 0.4, top + 0.4; w * 0.78, corner + 0.8; w * 0.42, teeth - 0.8; 0.0, teeth
        ]);
        let shades = colors![214, 208, 202; 250, 247, 242; 214, 208, 202];
        pen.blob(&white, Ink::Fade((x - w, top), (x + w, top), shades));
    } else {
        let slit = points![
            -w, corner; -w * 0.45, dip - lift * 0.1; 0.0, dip + 0.4; w * 0.45, dip - lift * 0.1; w, corner
        ];
        pen.taper(&placed(&slit, (x, 0.0), 1.0), 1.9, Ink::Flat(t.lips.lit(0.42), 0.85));
    }
    pen.spot((x + 3.0 * t.light, bottom + full * 0.7), w * 0.42, full * 0.55, Rgb::WHITE, 0.3);
    for side in [-1.0, 1.0] {
        pen.spot((x + side * (w + 0.8), corner), 3.0, 2.6, look.shade.lit(0.8), 0.55);
    }
}

fn paint_eye(pen: &mut Pen, look: &Look, side: f32) {
    let t = look.t;
    let (x, y) = (MIDDLE + t.yaw * 0.6 + side * EYE_X, EYE_Y);
    let (w, h) = (9.6 + 0.9 * t.eye_size, 4.5 + 0.9 * t.eye_size + 1.1 * t.eye_open);
    let slant = 1.3 * t.eye_slant;
    pen.spot((x - side * 1.5, y - 4.0), 16.0, 11.0, look.shade, 0.5);
    pen.spot((x, y + 7.5), 12.0, 4.0, look.shade, 0.16 + 0.3 * t.age);
    let at = |(dx, dy): Xy| (x + side * dx, y + dy - slant * dx / w);
    let almond = points![
        -w, 1.4; -w * 0.55, -h * 0.72; 0.0, -h; w * 0.55, -h * 0.8; w, -0.4; w * 0.5, h * 0.66; 0.0, h * 0.8;
        -w * 0.55, h * 0.66
    ];
    let white = Rgb::of(246, 243, 240);
    pen.blob(&almond.map(at), Ink::Fade((x, y - h), (x, y + h), [white.lit(0.74), white, white.lit(0.95)]));
    // The lids are drawn over the complete iris.
    let iris = (x + 2.4 * t.gaze.0, y - 0.3 + 1.4 * t.gaze.1);
    let r = (4.4 + 0.3 * t.eye_size).min(h * 1.02);
    pen.ellipse(iris, r, r, t.iris.lit(0.45));
    let shades = [t.iris.lit(0.65), t.iris, t.iris.lit(1.5)];
    pen.ellipse(iris, r - 0.7, r - 0.7, Ink::Fade((iris.0, iris.1 - r), (iris.0, iris.1 + r), shades));
    pen.ellipse(iris, r * 0.46, r * 0.46, Rgb::of(12, 10, 12));
    pen.ellipse((iris.0 + 1.5 * t.light, iris.1 - 1.6), 1.15, 1.15, Ink::Flat(Rgb::WHITE, 0.92));
    let lid = points![
        -w - 0.6, 1.6; -w * 0.55, -h * 0.76; 0.0, -h - 0.1; w * 0.55, -h * 0.84; w + 1.2, -1.2
    ];
    pen.taper(&lid.map(at), 2.0 + 1.5 * t.lashes, Ink::Flat(Rgb::of(34, 22, 20), 0.92));
    if t.lashes > 0.3 {
        let lashes = [(w * 0.4, -h * 0.9), (w * 0.9, -h * 0.55), (w + 3.0, -h * 0.8)];
        pen.taper(&lashes.map(at), 1.8, Ink::Flat(Rgb::of(30, 20, 18), 0.8 * t.lashes));
    }
    let under = [(-w * 0.8, h * 0.5), (0.0, h * 0.84), (w * 0.9, h * 0.25)];
    pen.taper(&under.map(at), 1.1, Ink::Flat(look.shade.lit(0.7), 0.55));
    let crease = [(-w * 0.85, -h * 0.75), (0.0, -h - 2.8), (w * 1.05, -h * 0.8)];
    pen.taper(&crease.map(at), 1.4, Ink::Flat(look.shade, 0.6));
}

fn paint_brow(pen: &mut Pen, look: &Look, side: f32) {
    let t = look.t;
    let (x, y) = (MIDDLE + t.yaw * 0.8 + side * EYE_X, 99.0 - 2.0 * t.brow_height - 0.8 * t.smile);
    let slant = 1.8 * t.brow_slant;
    let color = if t.hair.luma() > 0.5 { t.hair.mix(Rgb::of(96, 66, 44), 0.6) } else { t.hair.lit(0.85) };
    let color = if t.style == Style::Bald { Rgb::of(52, 38, 32).mix(look.shade, 0.3) } else { color };
    let brow = points![
        -12.0, 1.6 + slant; -6.0, -1.2 + slant * 0.4; 2.0, -2.6; 8.5, -1.6 - slant * 0.3;
        14.0, 2.4 - slant * 0.5
    ];
    pen.taper(&placed(&brow, (x, y), side), 4.2 + 1.3 * t.brow_width, Ink::Flat(color, 0.86));
}

fn paint_glasses(pen: &mut Pen, look: &Look) {
    let t = look.t;
    if t.glasses == Glasses::None {
        return;
    }
    let y = EYE_Y + 1.0;
    let middle = MIDDLE + t.yaw * 1.0;
    for side in [-1.0, 1.0] {
        let x = middle + side * (EYE_X + 0.5);
        let is_round = t.glasses == Glasses::Round;
        let (w, h, round) = if is_round { (15.0, 13.5, 0.72) } else { (16.0, 11.5, 0.9) };
        let half = [(0.0, -h), (w * round, -h * round), (w, 0.0), (w * round, h * round), (0.0, h)];
        let rim = placed(&mirrored(&half), (x, y), 1.0);
        if t.glasses == Glasses::Dark {
            let shades = colors![20, 18, 22; 38, 34, 40; 84, 74, 80];
            pen.blob(&rim, Ink::Fade((x, y - h), (x, y + h), shades));
        } else {
            pen.blob(&rim, Ink::Flat(Rgb::of(236, 244, 250), 0.1));
            let shine = [(x - w * 0.5, y + h * 0.35), (x - w * 0.05, y - h * 0.55)];
            pen.line(&shine, 2.2, Ink::Flat(Rgb::WHITE, 0.22));
        }
        pen.ring(&rim, 2.2, t.frame);
        let ear = MIDDLE + look.head + side * (41.0 + 1.8 * t.face_width);
        pen.line(&[(x + side * w, y - 2.0), (ear, y)], 2.0, t.frame);
    }
    pen.line(&[(middle - 6.0, y - 1.5), (middle, y - 3.5), (middle + 6.0, y - 1.5)], 2.0, t.frame);
}
