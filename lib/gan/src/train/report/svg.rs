//! Draws charts as SVG.

use std::fmt::Write;

use super::chart::{Chart, Column};

/// Width and height of a chart, in SVG units: wide enough for a phone to show its numbers.
const SIZE: [f64; 2] = [480.0, 250.0];
/// The box of the curves: left, top, right, bottom.
const FRAME: [f64; 4] = [46.0, 30.0, 470.0, 215.0];
/// The largest number of columns of a curve: two for each unit, for screens of high resolution.
pub const COLUMNS: usize = 848;
/// The largest number of points that are also shown as dots.
const MAX_DOTS: usize = 40;
/// The width of a bold character, and the gap between two names, in units.
const NAME_WIDTH: [f64; 2] = [7.5, 14.0];
/// The style of charts, in light and dark.
pub const STYLE: &str = include_str!("chart.css");

/// A file of charts, one below the other.
pub fn file(charts: &[Chart]) -> String {
    let [width, height] = SIZE;
    let total = height * charts.len() as f64;
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {total}' width='{}' height='{}'>\n\
         <style>\n{STYLE}</style>\n<rect class='paper' width='{width}' height='{total}'/>\n",
        2.0 * width,
        2.0 * total
    );
    for (i, chart) in charts.iter().enumerate() {
        let _ = writeln!(svg, "<g transform='translate(0 {})'>{}</g>", height * i as f64, draw(chart));
    }
    svg + "</svg>\n"
}

/// A chart for HTML.
pub fn inline(chart: &Chart) -> String {
    let ([width, height], Chart { title, unit, .. }, drawing) = (SIZE, chart, draw(chart));
    format!("<svg viewBox='0 0 {width} {height}' role='img' aria-label='{title} by {unit}'>{drawing}</svg>\n")
}

/// The elements of a chart.
///
/// A line is the mean of each column's points, the band behind it their range. The axes contain each point of
/// a line; a band is cut off at the top and bottom.
fn draw(chart: &Chart) -> String {
    let [left, top, right, bottom] = FRAME;
    let (horizontal, vertical) = (chart.horizontal(), chart.vertical());
    let x = |value: f64| left + (right - left) * horizontal.position(value);
    let y = |value: f64| (bottom - (bottom - top) * vertical.position(value)).clamp(top, bottom);
    let mut svg = format!("<text x='4' y='16' class='name'>{}</text>\n", chart.title);
    for (value, text) in &vertical.ticks {
        let (at, x, below) = (y(*value), left - 6.0, y(*value) + 4.0);
        let _ = write!(
            svg,
            "<path class='grid' d='M{left} {at:.1}H{right}'/>\
             <text x='{x:.1}' y='{below:.1}' text-anchor='end'>{text}</text>"
        );
    }
    for (value, text) in &horizontal.ticks {
        let (x, below) = (x(*value), bottom + 17.0);
        let _ = write!(svg, "<text x='{x:.1}' y='{below}' text-anchor='middle'>{text}</text>");
    }
    let below = SIZE[1] - 2.0;
    let _ = writeln!(svg, "<text x='{right}' y='{below}' text-anchor='end'>{}</text>", chart.unit);
    // The names of the curves, from right to left.
    let mut name_x = right;
    for curve in chart.curves.iter().rev() {
        let [r, g, b] = curve.color;
        let color = format!("rgb({r},{g},{b})");
        let columns: Vec<&Column> = curve.columns.iter().filter(|c| c.mean.is_finite()).collect();
        let path = |points: &mut dyn Iterator<Item = (f64, f64)>| {
            let points = points.map(|(step, value)| format!("{:.1} {:.1}", x(step), y(value)));
            points.collect::<Vec<_>>().join("L")
        };
        let line = path(&mut columns.iter().map(|c| (c.x, c.mean)));
        let low = columns.iter().map(|c| (c.x, c.range.start));
        let band = path(&mut low.chain(columns.iter().rev().map(|c| (c.x, c.range.end))));
        if !columns.is_empty() {
            let _ = writeln!(
                svg,
                "<path fill='{color}' fill-opacity='.2' d='M{band}Z'/>\
                 <path fill='none' stroke='{color}' stroke-width='1.5' d='M{line}'/>"
            );
        }
        for c in columns.iter().filter(|_| columns.len() <= MAX_DOTS) {
            let (x, y) = (x(c.x), y(c.mean));
            let _ = write!(svg, "<circle cx='{x:.1}' cy='{y:.1}' r='2' fill='{color}'/>");
        }
        let name = curve.name;
        let _ = writeln!(
            svg,
            "<text x='{name_x:.1}' y='16' text-anchor='end' fill='{color}' class='curve'>{name}</text>"
        );
        name_x -= NAME_WIDTH[0] * name.len() as f64 + NAME_WIDTH[1];
    }
    if let Some((name, level)) = chart.mark {
        let y = y(level);
        let _ = writeln!(
            svg,
            "<path class='mark' d='M{left} {y:.1}H{right}'/>\
             <text x='{name_x:.1}' y='16' text-anchor='end'>┄ {name}</text>"
        );
    }
    svg
}

#[cfg(test)]
mod tests {
    use super::super::chart::{BLUE, Color, Curve, ORANGE, columns};
    use super::*;

    fn chart(curves: [(&'static str, Color, &[f32]); 2]) -> Chart {
        let curves = curves.map(|(name, color, v)| Curve { name, color, columns: columns(v, COLUMNS) });
        Chart { title: "loss", unit: "step", curves: curves.to_vec(), mark: None }
    }

    /// A loss of 1 is a level line, halfway up an axis that ends at 2.
    #[test]
    fn curves_lie_at_their_values() {
        let chart = chart([("D", BLUE, &[1.0; 50]), ("G", ORANGE, &[1.8; 50])]);
        let marked = Chart { mark: Some(("−log 4", 0.5)), ..chart.clone() };
        let svg = file(&[chart.clone(), marked.clone()]);
        let [_, top, _, bottom] = FRAME;
        let at = |value: f64| bottom - value / 2.0 * (bottom - top);
        for (color, value) in [("rgb(0,114,178)", 1.0), ("rgb(213,94,0)", 1.8)] {
            let start = format!("stroke='{color}' stroke-width='1.5' d='M46.0 {:.1}", at(value));
            let lines: Vec<&str> =
                svg.split(&start).skip(1).map(|rest| rest.split('\'').next().unwrap()).collect();
            assert_eq!(lines.len(), 2, "{color}: one in each chart");
            for line in lines {
                let heights: Vec<&str> =
                    line.split('L').skip(1).map(|p| p.split_once(' ').unwrap().1).collect();
                assert_eq!(heights, vec![format!("{:.1}", at(value)); 49]);
            }
        }
        // The second one has a dashed mark.
        let mark = format!("<path class='mark' d='M46 {:.1}H470'/>", at(0.5));
        assert_eq!(svg.matches(&mark).count(), 1);
        assert!(STYLE.contains("svg .mark { stroke: #222; stroke-dasharray: 5 4; }"));
        // Both drawings are those of the page, one below the other.
        for (i, chart) in [chart, marked].iter().enumerate() {
            let drawing = format!("<g transform='translate(0 {})'>{}</g>", 250 * i, draw(chart));
            assert!(svg.contains(&drawing) && inline(chart).contains(&draw(chart)));
        }
    }

    #[test]
    fn no_steps_a_single_one_and_nan_draw_axes_and_no_more() {
        for values in [&[][..], &[0.5], &[f32::NAN, 0.5]] {
            let svg = file(&[chart([("D", BLUE, values), ("G", ORANGE, values)])]);
            assert!(svg.matches("class='grid'").count() > 1 && !svg.contains("NaN"), "{svg}");
            assert_eq!(svg.matches("stroke-width").count(), if values.is_empty() { 0 } else { 2 });
        }
    }
}
