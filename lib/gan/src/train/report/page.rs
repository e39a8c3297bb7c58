//! `report.html`: a run on one page, in one file without links to the network.

use std::fmt::Write;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::chart::Chart;
use super::{Report, Score, svg};
use crate::data::image::encode_jpeg;

/// The largest number of snapshots on a page. More would take long to load, and to write after each epoch.
const MAX_SNAPSHOTS: usize = 40;
/// The quality of JPEG images. The page shows the course of a run; the PNG files in `samples/` show the
/// details.
const QUALITY: u8 = 75;
const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// G's images of the same latents at the ends of epochs, as data URIs.
#[derive(Clone, Debug, Default)]
pub struct Snapshots {
    /// By rising epoch: the first, and the multiples of `stride`.
    kept: Vec<(u64, String)>,
    /// 0 means 1.
    stride: u64,
    last: Option<(u64, String)>,
    real: Option<String>,
}

impl Snapshots {
    pub fn set_real(&mut self, size: (usize, usize, usize), bytes: &[u8]) {
        self.real = Some(data_uri(size, bytes));
    }

    pub fn add(&mut self, epoch: u64, size: (usize, usize, usize), bytes: &[u8]) {
        let snapshot = (epoch, data_uri(size, bytes));
        self.stride = self.stride.max(1);
        if self.kept.is_empty() || epoch.is_multiple_of(self.stride) {
            self.kept.push(snapshot.clone());
        }
        if self.kept.len() > MAX_SNAPSHOTS {
            self.stride *= 2;
            let (stride, first) = (self.stride, self.kept[0].0);
            self.kept.retain(|(epoch, _)| *epoch == first || epoch.is_multiple_of(stride));
        }
        self.last = Some(snapshot);
    }

    /// The snapshots of the page: the kept ones and the last.
    fn all(&self) -> Vec<&(u64, String)> {
        let last = self.last.iter().filter(|(epoch, _)| self.kept.last().is_none_or(|kept| kept.0 != *epoch));
        self.kept.iter().chain(last).collect()
    }
}

fn data_uri((width, height, channels): (usize, usize, usize), bytes: &[u8]) -> String {
    let jpeg = encode_jpeg(width, height, channels, bytes, QUALITY);
    format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg))
}

/// The page.
pub fn html(report: &Report, charts: &[Chart], elapsed: Duration) -> String {
    let Report { setup, scores, snapshots, .. } = report;
    let (recipe, shard) = (setup.recipe, setup.shard);
    let images = shard.path().file_name().unwrap_or_default().to_string_lossy();
    let title = escape(&format!("{} on {images}, {} images", recipe.name, shard.len()));
    let (head, end) = PAGE.split_once("{body}").expect("the page has a body");
    // The title comes last: no text of the user is searched for a placeholder.
    let mut page = head.replace("{style}", &format!("{STYLE}{}", svg::STYLE)).replace("{title}", &title);
    let _ = writeln!(page, "<h1>{title}</h1>\n<p>{}</p>", escape(&recipe.description));
    write_summary(&mut page, report, elapsed);
    for warning in &report.warnings {
        let _ = writeln!(page, "<p class='warning'>{}</p>", escape(warning));
    }
    let all = snapshots.all();
    if let Some((epoch, last)) = all.last() {
        write_slider(&mut page, &all, *epoch, last);
        if let Some(real) = &snapshots.real {
            let _ = writeln!(
                page,
                "<h2>Training images and G's</h2>\n<div class='pair'>\
                 <figure><img src='{real}' alt='Training images'>\
                 <figcaption>training images</figcaption></figure>\
                 <figure><img src='{last}' alt='Images of G'>\
                 <figcaption>G, epoch {epoch}</figcaption></figure></div>"
            );
        }
    }
    let charts: String = charts.iter().map(svg::inline).collect();
    let _ = writeln!(page, "<h2>Charts</h2>\n<div class='charts'>\n{charts}</div>");
    write_scores(&mut page, scores);
    let _ = writeln!(page, "<h2>Recipe</h2>\n<pre>{}</pre>", escape(&recipe.to_toml()));
    if !all.is_empty() {
        let _ = writeln!(page, "<script>\n{SCRIPT}</script>");
    }
    page + end
}

fn write_summary(page: &mut String, Report { setup, series, scores, .. }: &Report, elapsed: Duration) {
    let (step, seconds) = (series[0].len() as u64, elapsed.as_secs());
    let steps = setup.steps();
    let [epoch, epochs] = [step, steps].map(|steps| steps.div_ceil(setup.epoch_steps()));
    let mut rows = vec![
        ("step", format!("{step} of {steps}")),
        ("epoch", format!("{epoch} of {epochs}")),
        ("time", format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)),
    ];
    if let Some(best) = scores.iter().rfind(|score| score.best) {
        rows.push(("best FD-SqueezeNet", format!("{:.1} (epoch {})", best.fd_squeezenet, best.epoch)));
    }
    let row = |(name, value)| format!("<div><dt>{name}</dt><dd>{value}</dd></div>");
    let _ = writeln!(page, "<dl>{}</dl>", rows.into_iter().map(row).collect::<String>());
}

/// A slider over the snapshots.
fn write_slider(page: &mut String, snapshots: &[&(u64, String)], epoch: u64, last: &str) {
    let end = snapshots.len() - 1;
    let _ = writeln!(
        page,
        "<h2>The same latents by epoch</h2>\n\
         <figure><img id='snapshot' src='{last}' alt='Images of G'><figcaption>\
         <label for='epoch'>epoch <output id='which'>{epoch}</output></label> \
         <input id='epoch' type='range' min='0' max='{end}' value='{end}' step='1'>\
         </figcaption></figure>\n<script>\nconst snapshots = ["
    );
    for (epoch, data) in snapshots {
        let _ = writeln!(page, "[{epoch}, \"{data}\"],");
    }
    page.push_str("];\n</script>\n");
}

fn write_scores(page: &mut String, scores: &[Score]) {
    if scores.is_empty() {
        return;
    }
    page.push_str(
        "<h2>Scores</h2>\n\
         <p>Fréchet distance of SqueezeNet features; 0 is best. It is not the FID.</p>\n\
         <table><tr><th>epoch</th><th>step</th><th>FD-SqueezeNet</th>\
         <th>images of G</th><th>training images</th></tr>\n",
    );
    for Score { epoch, step, fd_squeezenet, fakes, reals, .. } in scores {
        let _ = writeln!(
            page,
            "<tr><td>{epoch}</td><td>{step}</td><td>{fd_squeezenet:.1}</td>\
             <td>{fakes}</td><td>{reals}</td></tr>"
        );
    }
    page.push_str("</table>\n");
}

/// Text within HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

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
        for (epochs, max, step) in [(1, 1, 1), (40, 40, 1), (200, 27, 8), (301, 40, 8)] {
            let snapshots = added(epochs);
            let all: Vec<u64> = snapshots.all().iter().map(|s| s.0).collect();
            assert!(all.len() <= max, "{epochs}: {}", all.len());
            assert_eq!((all[0], all[all.len() - 1]), (1, epochs));
            assert!(all.windows(2).skip(1).rev().skip(1).all(|w| w[1] - w[0] == step), "{all:?}");
        }
    }

    #[test]
    fn text_cannot_break_the_page() {
        assert_eq!(escape("a<b> & \"c\""), "a&lt;b&gt; &amp; &quot;c&quot;");
    }
}
