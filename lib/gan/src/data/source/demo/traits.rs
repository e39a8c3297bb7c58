//! The traits of a face, drawn from its seed and number.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::pen::{Rgb, colors};

/// From light to dark.
const SKIN: [Rgb; 7] = colors![
    252, 222, 200; 244, 205, 176; 231, 184, 148; 212, 160, 118; 182, 126, 86; 140, 92, 62; 100, 66, 48
];
/// Dark ones first: darker skin takes from the front.
const HAIR: [Rgb; 10] = colors![
    28, 22, 22; 44, 30, 24; 66, 42, 28; 96, 60, 36; 124, 80, 46; 118, 62, 40; 160, 114, 64; 196, 150, 86;
    226, 190, 126; 158, 152, 148
];
const IRIS: [Rgb; 6] = colors![
    62, 38, 24; 96, 60, 32; 128, 96, 48; 84, 112, 72; 78, 116, 150; 110, 130, 144
];
const CLOTHES: [Rgb; 9] = colors![
    38, 42, 52; 70, 80, 98; 224, 222, 216; 150, 44, 48; 44, 84, 130; 60, 112, 92; 206, 160, 74; 126, 78, 128;
    206, 122, 126
];
const BACKDROP: [Rgb; 9] = colors![
    204, 216, 226; 150, 178, 204; 226, 212, 190; 178, 200, 176; 198, 150, 130; 84, 98, 122; 122, 106, 98;
    52, 56, 66; 234, 232, 228
];

/// The hairstyle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Bald,
    Cropped,
    SidePart,
    Swept,
    Curly,
    Bob,
    Long,
    Wavy,
    Bun,
}

/// The beard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beard {
    None,
    Stubble,
    Moustache,
    Goatee,
    Full,
}

/// The glasses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Glasses {
    None,
    Round,
    Square,
    Dark,
}

/// All traits of a face. Numbers without a unit are −1..=1 around the usual value, or 0..=1.
#[derive(Debug, Clone)]
pub(super) struct Traits {
    pub(super) backdrop: [Rgb; 2],
    /// Where the backdrop's lights are, 0..=1 across and down.
    pub(super) lights: [(f32, f32); 2],
    /// −1: light from the left; 1: from the right.
    pub(super) light: f32,
    pub(super) skin: Rgb,
    pub(super) hair: Rgb,
    pub(super) iris: Rgb,
    pub(super) clothes: Rgb,
    pub(super) lips: Rgb,
    pub(super) style: Style,
    pub(super) fringe: bool,
    /// The side of the parting: −1 or 1.
    pub(super) side: f32,
    pub(super) volume: f32,
    pub(super) beard: Beard,
    pub(super) glasses: Glasses,
    pub(super) frame: Rgb,
    pub(super) earrings: bool,
    pub(super) lashes: f32,
    pub(super) blush: f32,
    pub(super) age: f32,
    pub(super) face_width: f32,
    pub(super) jaw: f32,
    pub(super) chin: f32,
    pub(super) eye_size: f32,
    pub(super) eye_open: f32,
    pub(super) eye_slant: f32,
    pub(super) gaze: (f32, f32),
    pub(super) brow_height: f32,
    pub(super) brow_slant: f32,
    pub(super) brow_width: f32,
    pub(super) nose_width: f32,
    pub(super) nose_length: f32,
    pub(super) mouth_width: f32,
    pub(super) lip_fullness: f32,
    /// −0.2 (earnest) to 1 (beaming).
    pub(super) smile: f32,
    /// 0: closed.
    pub(super) open: f32,
    /// The head turned to the left (−1) or right (1).
    pub(super) yaw: f32,
    /// Degrees.
    pub(super) tilt: f32,
    pub(super) scale: f32,
    pub(super) shift: (f32, f32),
    pub(super) v_neck: bool,
}

/// The random numbers of one face.
struct Dice(ChaCha8Rng);

impl Dice {
    /// Uniform in [0, 1).
    fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    fn range(&mut self, from: f32, to: f32) -> f32 {
        from + (to - from) * self.unit()
    }

    /// Bell-shaped in (−1, 1), mostly within ±0.5.
    fn bell(&mut self) -> f32 {
        (self.unit() + self.unit() + self.unit()) * 2.0 / 3.0 - 1.0
    }

    fn chance(&mut self, p: f32) -> bool {
        self.unit() < p
    }

    /// One of `choices`, by their weights.
    fn pick<T: Copy>(&mut self, choices: &[(T, f32)]) -> T {
        let mut left = self.unit() * choices.iter().map(|&(_, weight)| weight).sum::<f32>();
        for &(choice, weight) in choices {
            left -= weight;
            if left < 0.0 {
                return choice;
            }
        }
        choices[choices.len() - 1].0
    }

    /// A mix of two neighbors in `colors`.
    fn along(&mut self, colors: &[Rgb], from: f32, to: f32) -> Rgb {
        let at = self.range(from, to) * (colors.len() - 1) as f32;
        let i = (at as usize).min(colors.len() - 2);
        colors[i].mix(colors[i + 1], at - i as f32)
    }

    fn one_of(&mut self, colors: &[Rgb]) -> Rgb {
        let color = colors[(self.unit() * colors.len() as f32) as usize];
        color.lit(self.range(0.88, 1.1))
    }
}

impl Traits {
    /// Face `i` of `seed`.
    pub(super) fn roll(seed: u64, i: u64) -> Traits {
        use Beard::{Full, Goatee, Moustache, Stubble};
        use Style::*;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(i);
        let d = &mut Dice(rng);
        let feminine = d.chance(0.54);
        let darkness = d.unit().powf(1.4);
        let skin = d.along(&SKIN, darkness * 0.9, darkness * 0.9 + 0.1);
        let skin = Rgb(skin.0, skin.1 * d.range(0.97, 1.02), skin.2 * d.range(0.94, 1.04));
        let age = d.unit().powf(2.0);
        let lightest_hair = if darkness > 0.55 { 0.35 } else { 0.9 };
        let gray = age > 0.55 && d.chance(0.7);
        let hair =
            if gray { HAIR[9].lit(d.range(0.75, 1.3)) } else { d.along(&HAIR[..9], 0.0, lightest_hair) };
        let style = if feminine {
            d.pick(&[(Long, 0.3), (Wavy, 0.26), (Bob, 0.2), (Bun, 0.12), (Curly, 0.1), (Swept, 0.02)])
        } else {
            let bald = 0.05 + 0.15 * age;
            d.pick(&[
                (SidePart, 0.3),
                (Cropped, 0.26),
                (Swept, 0.24),
                (Curly, 0.1),
                (Bob, 0.03),
                (Bald, bald),
            ])
        };
        let beard = if feminine || d.chance(0.55) {
            Beard::None
        } else {
            d.pick(&[(Stubble, 0.35), (Full, 0.3), (Goatee, 0.18), (Moustache, 0.17)])
        };
        let glasses = if d.chance(0.17) {
            d.pick(&[(Glasses::Round, 0.4), (Glasses::Square, 0.45), (Glasses::Dark, 0.15)])
        } else {
            Glasses::None
        };
        let natural = skin.mix(Rgb::of(178, 74, 78), 0.5).lit(0.92);
        let lips = if feminine && d.chance(0.6) {
            natural.mix(d.one_of(&[Rgb::of(190, 38, 56), Rgb::of(204, 84, 100), Rgb::of(150, 48, 66)]), 0.7)
        } else {
            skin.mix(natural, 0.7)
        };
        let smile = (d.range(-0.2, 1.3)).min(1.0);
        let backdrop = d.one_of(&BACKDROP);
        Traits {
            backdrop: [backdrop, d.one_of(&BACKDROP).mix(backdrop, 0.5)],
            lights: [(d.unit(), d.unit()), (d.unit(), d.unit())],
            light: if d.chance(0.5) { d.range(0.4, 1.0) } else { -d.range(0.4, 1.0) },
            skin,
            hair,
            iris: if darkness > 0.5 { d.along(&IRIS, 0.0, 0.3) } else { d.along(&IRIS, 0.0, 1.0) },
            clothes: d.one_of(&CLOTHES),
            lips,
            style,
            fringe: d.chance(if feminine { 0.35 } else { 0.2 }),
            side: if d.chance(0.5) { 1.0 } else { -1.0 },
            volume: d.bell(),
            beard,
            glasses,
            frame: d.one_of(&[Rgb::of(30, 28, 30), Rgb::of(84, 54, 36), Rgb::of(150, 124, 80)]),
            earrings: feminine && d.chance(0.25),
            lashes: if feminine { d.range(0.4, 1.0) } else { d.range(0.0, 0.2) },
            blush: if feminine { d.range(0.3, 1.0) } else { d.range(0.0, 0.5) },
            age,
            face_width: d.bell() + if feminine { -0.2 } else { 0.2 },
            jaw: d.bell() + if feminine { -0.4 } else { 0.4 },
            chin: d.bell(),
            eye_size: d.bell() + if feminine { 0.3 } else { -0.3 },
            eye_open: d.bell() - smile * 0.25,
            eye_slant: d.bell(),
            gaze: (d.bell(), d.bell() * 0.5),
            brow_height: d.bell(),
            brow_slant: d.bell(),
            brow_width: d.bell() + if feminine { -0.4 } else { 0.5 },
            nose_width: d.bell() + darkness * 0.4,
            nose_length: d.bell(),
            mouth_width: d.bell(),
            lip_fullness: d.bell() + if feminine { 0.3 } else { -0.3 } + darkness * 0.3,
            smile,
            open: if smile > 0.25 && d.chance(0.65) { d.range(0.35, 1.0) } else { 0.0 },
            yaw: d.bell(),
            tilt: d.bell() * 6.0,
            scale: 1.0 + d.bell() * 0.05,
            shift: (d.bell() * 2.0, d.bell() * 2.0),
            v_neck: d.chance(0.5),
        }
    }
}
