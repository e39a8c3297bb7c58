//! `report.html`: a run on one page, in one file that needs no network.

use std::fmt::Write;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::chart::Chart;
use super::{Report, Score};
use crate::data::image::encode_jpeg;

/// What the page says of a run from its beginning.
#[derive(Clone, Debug)]
pub struct RunInfo {
    /// The recipe's name.
    pub name: String,
    /// One line about it.
    pub about: String,
    /// The whole recipe, TOML.
    pub recipe: String,
    /// The shard and what is in it.
    pub images: String,
    /// Steps of the whole run.
    pub steps: u64,
    /// Steps of an epoch.
    pub epoch_steps: u64,
}

/// Images of epochs that a page holds at most. With more it would take long to load, and each epoch long to write.
const MOST: usize = 40;
/// JPEG's: the page is to show how a run goes, the PNGs in `samples/` are to be looked at closely.
const QUALITY: u8 = 75;
/// Width and height of a chart, in the page's own units; wide enough for a phone to show its numbers.
const SIZE: [f64; 2] = [480.0, 250.0];
/// Where the curves are: left, top, right, bottom.
const FRAME: [f64; 4] = [46.0, 30.0, 470.0, 215.0];

/// What G makes of the same latents at the ends of epochs, as data URIs.
#[derive(Clone, Debug, Default)]
pub struct Snapshots {
    /// Rising: the first epoch, and those that are multiples of `stride`.
    kept: Vec<(u64, String)>,
    /// 0 stands for 1.
    stride: u64,
    last: Option<(u64, String)>,
    real: Option<String>,
}

impl Snapshots {
    pub fn real(&mut self, size: (usize, usize, usize), bytes: &[u8]) {
        self.real = Some(data_uri(size, bytes));
    }

    pub fn add(&mut self, epoch: u64, size: (usize, usize, usize), bytes: &[u8]) {
        let shot = (epoch, data_uri(size, bytes));
        self.stride = self.stride.max(1);
        if self.kept.is_empty() || epoch.is_multiple_of(self.stride) {
            self.kept.push(shot.clone());
        }
        if self.kept.len() > MOST {
            self.stride *= 2;
            let (stride, first) = (self.stride, self.kept[0].0);
            self.kept.retain(|(epoch, _)| *epoch == first || epoch.is_multiple_of(stride));
        }
        self.last = Some(shot);
    }

    /// Those of the page: the kept ones, and the last one.
    fn all(&self) -> Vec<&(u64, String)> {
        let last = self.last.iter().filter(|(epoch, _)| self.kept.last().is_none_or(|kept| kept.0 != *epoch));
        self.kept.iter().chain(last).collect()
    }
}

fn data_uri((width, height, channels): (usize, usize, usize), bytes: &[u8]) -> String {
    format!(
        "data:image/jpeg;base64,{}",
        STANDARD.encode(encode_jpeg(width, height, channels, bytes, QUALITY))
    )
}

/// The page.
pub fn html(info: &RunInfo, report: &Report, charts: &[Chart], elapsed: Duration) -> String {
    let step = report.series[0].len() as u64;
    let snapshots = report.snapshots.all();
    let mut page = String::with_capacity(1 << 20);
    let title = format!("{} on {}", info.name, info.images);
    let _ = write!(page, "{}", HEAD.replace("{title}", &escape(&title)));
    let _ = writeln!(page, "<h1>{}</h1>\n<p>{}</p>", escape(&title), escape(&info.about));
    summary(&mut page, info, step, elapsed, report.scores());
    for warning in &report.warnings {
        let _ = writeln!(page, "<p class=\"warning\">{}</p>", escape(warning));
    }
    if let Some((epoch, last)) = snapshots.last() {
        slider(&mut page, &snapshots, *epoch, last);
        if let Some(real) = &report.snapshots.real {
            let _ = writeln!(
                page,
                "<h2>Real images and G's</h2>\n<div class=\"pair\"><figure><img src=\"{real}\" alt=\"Real training \
                 images\"><figcaption>real</figcaption></figure><figure><img src=\"{last}\" alt=\"Images of G, epoch \
                 {epoch}\"><figcaption>G, epoch {epoch}</figcaption></figure></div>"
            );
        }
    }
    page.push_str("<h2>Curves</h2>\n<div class=\"charts\">\n");
    charts.iter().for_each(|chart| svg(&mut page, chart));
    page.push_str("</div>\n");
    scores(&mut page, report.scores());
    let _ = writeln!(page, "<h2>Recipe</h2>\n<pre>{}</pre>", escape(&info.recipe));
    if !snapshots.is_empty() {
        page.push_str(SCRIPT);
    }
    page.push_str("</body>\n</html>\n");
    page
}

fn summary(page: &mut String, info: &RunInfo, step: u64, elapsed: Duration, scores: &[Score]) {
    let seconds = elapsed.as_secs();
    let mut rows = vec![
        ("step", format!("{step} of {}", info.steps)),
        (
            "epoch",
            format!("{} of {}", step.div_ceil(info.epoch_steps), info.steps.div_ceil(info.epoch_steps)),
        ),
        ("time", format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)),
    ];
    if let Some(best) = scores.iter().rfind(|score| score.best) {
        rows.push(("best FD-SqueezeNet", format!("{:.1} (epoch {})", best.fd_squeezenet, best.epoch)));
    }
    page.push_str("<dl>");
    for (name, value) in rows {
        let _ = write!(page, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    }
    page.push_str("</dl>\n");
}

/// The images of all epochs, of which one is shown.
fn slider(page: &mut String, snapshots: &[&(u64, String)], epoch: u64, last: &str) {
    let end = snapshots.len() - 1;
    let _ = writeln!(
        page,
        "<h2>The same latents, epoch by epoch</h2>\n<figure><img id=\"shot\" src=\"{last}\" alt=\"What G makes of fixed \
         latents\"><figcaption><label for=\"epoch\">epoch <output id=\"which\">{epoch}</output></label> <input id=\"epoch\" \
         type=\"range\" min=\"0\" max=\"{end}\" value=\"{end}\" step=\"1\"></figcaption></figure>\n<script>\nconst snapshots = ["
    );
    for (epoch, data) in snapshots {
        let _ = writeln!(page, "[{epoch}, \"{data}\"],");
    }
    page.push_str("];\n</script>\n");
}

fn scores(page: &mut String, scores: &[Score]) {
    if scores.is_empty() {
        return;
    }
    page.push_str(
        "<h2>Scores</h2>\n<p>Fréchet distance of SqueezeNet features, 0 is best. It is not the FID.</p>\n<table><tr><th>epoch\
         </th><th>step</th><th>FD-SqueezeNet</th><th>images of G, real</th></tr>\n",
    );
    for Score { epoch, step, fd_squeezenet, fakes, reals, .. } in scores {
        let _ = writeln!(
            page,
            "<tr><td>{epoch}</td><td>{step}</td><td>{fd_squeezenet:.1}</td><td>{fakes}, {reals}</td></tr>"
        );
    }
    page.push_str("</table>\n");
}

fn svg(page: &mut String, chart: &Chart) {
    let [left, top, right, bottom] = FRAME;
    let (horizontal, vertical) = (chart.horizontal(), chart.vertical());
    let x = |value: f64| left + (right - left) * horizontal.place(value);
    let y = |value: f64| (bottom - (bottom - top) * vertical.place(value)).clamp(top, bottom);
    let [width, height] = SIZE;
    let _ = writeln!(
        page,
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{} by {}\"><text x=\"4\" y=\"16\" \
         class=\"name\">{}</text>",
        chart.title, chart.unit, chart.title
    );
    for (value, text) in &vertical.ticks {
        let (at, below) = (y(*value), y(*value) + 4.0);
        let _ = write!(
            page,
            "<path class=\"grid\" d=\"M{left} {at:.1}H{right}\"/><text x=\"{:.1}\" y=\"{below:.1}\" \
             text-anchor=\"end\">{text}</text>",
            left - 6.0
        );
    }
    for (value, text) in &horizontal.ticks {
        let (at, below) = (x(*value), bottom + 17.0);
        let _ = write!(page, "<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{text}</text>");
    }
    let _ = writeln!(
        page,
        "<text x=\"{right}\" y=\"{}\" text-anchor=\"end\">{}</text>",
        height - 2.0,
        chart.unit
    );
    let mut legend = right;
    for curve in chart.curves.iter().rev() {
        let [r, g, b] = curve.color;
        let color = format!("rgb({r},{g},{b})");
        let columns: Vec<_> = curve.columns.iter().filter(|c| c.mean.is_finite()).collect();
        let mut line = String::new();
        let mut low = String::new();
        let mut high = Vec::new();
        for (i, c) in columns.iter().enumerate() {
            let (command, at) = (if i == 0 { 'M' } else { 'L' }, x(c.x));
            let _ = write!(line, "{command}{at:.1} {:.1}", y(c.mean));
            let _ = write!(low, "{command}{at:.1} {:.1}", y(c.range.start));
            high.push(format!("L{at:.1} {:.1}", y(c.range.end)));
        }
        high.reverse();
        // Few points, such as scores, are shown as such.
        let dots = if columns.len() <= MOST { columns } else { vec![] };
        let _ = writeln!(
            page,
            "<path fill=\"{color}\" fill-opacity=\".2\" d=\"{low}{}Z\"/><path fill=\"none\" stroke=\"{color}\" \
             stroke-width=\"1.5\" d=\"{line}\"/>",
            high.concat()
        );
        for c in dots {
            let _ = write!(
                page,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2\" fill=\"{color}\"/>",
                x(c.x),
                y(c.mean)
            );
        }
        // A character is about 7 units wide.
        let _ = writeln!(
            page,
            "<text x=\"{legend:.1}\" y=\"16\" text-anchor=\"end\" fill=\"{color}\" class=\"curve\">{}</text>",
            curve.name
        );
        legend -= 7.5 * curve.name.len() as f64 + 14.0;
    }
    if let Some((name, level)) = chart.mark {
        let (at, name) = (y(level), name.replace('-', "−"));
        let _ = writeln!(
            page,
            "<path class=\"mark\" d=\"M{left} {at:.1}H{right}\"/><text x=\"{legend:.1}\" y=\"16\" \
             text-anchor=\"end\">┄ {name}</text>"
        );
    }
    page.push_str("</svg>\n");
}

/// Text within HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const HEAD: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --faint: #ddd; --soft: #666; --alarm: #fff3cd; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #15171a; --faint: #3a3d42; --soft: #a0a4aa; --alarm: #4a3c10; }
}
body { margin: 0 auto; padding: 1rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { margin: .3rem 0; color: var(--soft); }
dl { display: flex; flex-wrap: wrap; gap: .5rem 2rem; }
dt { color: var(--soft); font-size: .85rem; }
dd { margin: 0; font-variant-numeric: tabular-nums; }
.warning { background: var(--alarm); color: var(--ink); padding: .5rem .75rem; border-radius: .3rem; }
figure { margin: 0; }
img { display: block; width: 100%; max-width: 34rem; height: auto; image-rendering: pixelated; }
figcaption { color: var(--soft); padding: .3rem 0; }
input[type=range] { width: 100%; max-width: 34rem; height: 2rem; display: block; }
.pair, .charts { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; fill: var(--ink); }
svg .name, svg .curve { font-weight: 600; }
svg .grid { stroke: var(--faint); }
svg .mark { stroke: var(--ink); stroke-dasharray: 5 4; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .2rem .8rem .2rem 0; text-align: right; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid var(--faint); border-radius: .3rem; font-size: .85rem; }
</style>
</head>
<body>
"#;

const SCRIPT: &str = r#"<script>
const slider = document.getElementById("epoch");
slider.addEventListener("input", () => {
  const [epoch, data] = snapshots[slider.value];
  document.getElementById("shot").src = data;
  document.getElementById("which").textContent = epoch;
});
</script>
"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn added(epochs: u64) -> Snapshots {
        let mut snapshots = Snapshots::default();
        (1..=epochs).for_each(|epoch| snapshots.add(epoch, (8, 8, 1), &[epoch as u8; 64]));
        snapshots
    }

    #[test]
    fn a_page_holds_few_images_evenly_spread_with_the_first_and_the_last() {
        for (epochs, most, step) in [(1, 1, 1), (40, 40, 1), (200, 27, 8), (301, 40, 8)] {
            let snapshots = added(epochs);
            let all: Vec<u64> = snapshots.all().iter().map(|s| s.0).collect();
            assert!(all.len() <= most, "{epochs}: {}", all.len());
            assert_eq!((all[0], all[all.len() - 1]), (1, epochs));
            assert!(all.windows(2).skip(1).rev().skip(1).all(|w| w[1] - w[0] == step), "{all:?}");
        }
    }

    #[test]
    fn text_cannot_break_the_page() {
        assert_eq!(escape("a<b> & \"c\""), "a&lt;b&gt; &amp; &quot;c&quot;");
    }
}
