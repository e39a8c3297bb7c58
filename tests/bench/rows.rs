//! The rows of the table of docs/performance.md: measurement and bar. The bars are for two threads on a
//! processor with AVX-512 and AMX.

use gan::precision::Precision::{self, Bf16, F32};
use gan_kernels::{Isa, bf16};

use crate::compute::{self, CATS, TUTORIAL};
use crate::measure::{Figure, milliseconds, rate, seconds};
use crate::process;
use crate::table::{Table, number};
use crate::workspace::Workspace;

/// The target of a row.
enum Bar {
    /// At least this percent of the peak.
    Share(f64),
    /// At least this value.
    AtLeast(f64),
    /// At most this value.
    AtMost(f64),
    /// This many times as fast as another program, measured in turn on the same machine.
    Times(f64, &'static str),
}

struct Row {
    name: String,
    precision: Precision,
    bar: Bar,
    measure: Measure,
}

/// An error says why this machine cannot measure the row.
type Measure = fn(&Workspace) -> Result<Figure, String>;

const TABLE: Table =
    Table(&[("work", 52), ("figure", 16), ("of the peak", 18), ("bar", 26), ("reached", 24)]);

fn rows(workspace: &Workspace) -> Vec<Row> {
    let row = |name: &str, precision, bar, measure| Row { name: name.into(), precision, bar, measure };
    let fid = |precision| format!("fid {} against stats.npz, whole process, {precision}", workspace.fakes);
    vec![
        row("DCGAN step 64×64, batch 128, f32", F32, Bar::Share(60.0), |_| {
            Ok(rate(compute::dcgan_step(&TUTORIAL, 128, F32), 7))
        }),
        row("DCGAN step 64×64, batch 128, bf16", Bf16, Bar::Times(1.8, "torch.compile"), |_| {
            Ok(rate(compute::dcgan_step(&TUTORIAL, 128, Bf16), 7))
        }),
        row("DCGAN step, cats recipe, batch 32, f32", F32, Bar::Times(1.7, "torch"), |_| {
            Ok(rate(compute::dcgan_step(&CATS, 32, F32), 9))
        }),
        row("DCGAN step, cats recipe, batch 32, bf16", Bf16, Bar::Times(1.7, "torch"), |_| {
            Ok(rate(compute::dcgan_step(&CATS, 32, Bf16), 9))
        }),
        row("MLP GAN step, batch 100, f32", F32, Bar::AtMost(5.0), |_| {
            Ok(milliseconds(compute::mlp_steps(), 5))
        }),
        row("sample 3,000 PNGs, whole process, f32", F32, Bar::AtLeast(650.0), |workspace| {
            Ok(rate(process::sample(workspace, F32), 3))
        }),
        row("sample 3,000 PNGs, whole process, bf16", Bf16, Bar::AtLeast(1300.0), |workspace| {
            Ok(rate(process::sample(workspace, Bf16), 3))
        }),
        row("prep of JPEGs, whole process", F32, Bar::AtLeast(4500.0), |workspace| {
            let load = process::prep(workspace);
            let note = format!("{} JPEGs", load.count);
            Ok(Figure { note, ..rate(load, 5) })
        }),
        row("Inception features, batch 50, f32", F32, Bar::Share(73.0), |workspace| {
            Ok(rate(compute::inception(workspace, F32), 5))
        }),
        row("Inception features, batch 50, bf16", Bf16, Bar::AtLeast(50.0), |workspace| {
            Ok(rate(compute::inception(workspace, Bf16), 5))
        }),
        row("SqueezeNet features, batch 50, f32", F32, Bar::Times(1.1, "onnxruntime"), |_| {
            Ok(rate(compute::squeezenet(), 9))
        }),
        row("Fréchet distance, 2048 dims, full rank", F32, Bar::AtMost(1.0), |workspace| {
            Ok(Figure { note: compute::frechet_error(workspace), ..seconds(compute::frechet(workspace), 5) })
        }),
        row(&fid(F32), F32, Bar::Times(3.0, "pytorch-fid"), |workspace| {
            Ok(seconds(process::fid(workspace, F32), 1))
        }),
        row(&fid(Bf16), Bf16, Bar::Times(6.0, "pytorch-fid"), |workspace| {
            Ok(seconds(process::fid(workspace, Bf16), 1))
        }),
        row("private memory of training, batch 128, f32", F32, Bar::AtMost(600.0), process::training_memory),
        row("one thread to two, a convolution, f32", F32, Bar::AtLeast(1.6), |_| {
            compute::scaling(compute::convolution, 9)
        }),
        row("one thread to two, DCGAN step, f32", F32, Bar::AtLeast(1.6), |_| {
            compute::scaling(compute::step, 3)
        }),
        row("start to first training step", F32, Bar::AtMost(0.1), |workspace| {
            Ok(process::training_start(workspace, 3))
        }),
    ]
}

/// Measures the selected rows and prints each result.
pub fn run(workspace: &Workspace, wanted: impl Fn(&str) -> bool) {
    TABLE.head();
    for row in rows(workspace).iter().filter(|row| wanted(&row.name)) {
        let measured = (row.measure)(workspace);
        TABLE.row(&cells(row, measured.as_ref()));
    }
}

fn cells(row: &Row, measured: Result<&Figure, &String>) -> [String; 5] {
    let name = row.name.clone();
    let figure = match measured {
        Ok(figure) => figure,
        Err(reason) => {
            return [name, "–".into(), String::new(), row.bar.text(""), format!("– {reason}")];
        }
    };
    let share = figure.share.map(|s| format!("{:.0} % ({:.0} to {:.0})", s.median, s.least, s.most));
    let value = format!("{} {}", number(figure.value), figure.unit);
    let note = if figure.note.is_empty() { String::new() } else { format!("; {}", figure.note) };
    let reached = format!("{}{note}", row.verdict(figure));
    [name, value, share.unwrap_or_default(), row.bar.text(figure.unit), reached]
}

impl Bar {
    fn text(&self, unit: &str) -> String {
        match self {
            Bar::Share(percent) => format!("{percent:.0} %"),
            Bar::AtLeast(least) => format!("{least} {unit}").trim_end().into(),
            Bar::AtMost(most) => format!("at most {most} {unit}").trim_end().into(),
            Bar::Times(times, program) => format!("{times} × {program}"),
        }
    }
}

impl Row {
    /// Whether the figure reaches the bar, or why this machine cannot show it.
    fn verdict(&self, figure: &Figure) -> &'static str {
        let reached = match self.bar {
            Bar::Share(percent) => figure.share.is_some_and(|share| share.median >= percent),
            Bar::AtLeast(least) => figure.value >= least,
            Bar::AtMost(most) => figure.value <= most,
            Bar::Times(..) => return "– see `just bench peers`",
        };
        match (reached, self.precision, Isa::best::<bf16>()) {
            (true, ..) => "yes",
            (false, Bf16, Isa::Avx512Bf16) => "– no AMX here",
            (false, Bf16, Isa::Plain) => "– no bf16 products here",
            (false, ..) => "no",
        }
    }
}
