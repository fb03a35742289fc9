//! Line charts as inline SVG: no script, no font, no network.

/// The size of a chart and of the margins for its labels, in SVG units.
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 42.0;

/// The scale of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Linear.
    Linear,
    /// Logarithmic; all values are above zero.
    Logarithmic,
}

/// An axis of a chart.
#[derive(Clone, Debug)]
pub struct Axis {
    /// Its title, with the unit.
    pub title: &'static str,
    /// Its scale.
    pub scale: Scale,
    /// The minimum value.
    pub least: f64,
    /// The maximum value.
    pub greatest: f64,
    /// The labels with their values.
    pub ticks: Vec<(f64, String)>,
}

/// A line of a chart.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its name in the legend.
    pub name: String,
    /// Its CSS class: colour and dashes.
    pub class: &'static str,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

impl Axis {
    /// Returns a linear axis from zero to at least `greatest`, with about five round labels.
    pub fn linear(title: &'static str, greatest: f64) -> Self {
        let step = round_step(greatest.max(1e-6) / 5.0);
        let count = (greatest / step).ceil().clamp(1.0, 12.0);
        let ticks = (0..=count as u32).map(|n| (f64::from(n) * step, label(f64::from(n) * step)));
        Self {
            title,
            scale: Scale::Linear,
            least: 0.0,
            greatest: count * step,
            ticks: ticks.collect(),
        }
    }

    /// Returns a logarithmic axis with the decades around `least` and `greatest`.
    pub fn logarithmic(title: &'static str, least: f64, greatest: f64) -> Self {
        let from = least.max(1e-6).log10().floor() as i32;
        let to = (greatest.max(1e-6).log10().ceil() as i32).max(from + 1);
        let ticks = (from..=to).map(|n| (10_f64.powi(n), label(10_f64.powi(n))));
        Self {
            title,
            scale: Scale::Logarithmic,
            least: 10_f64.powi(from),
            greatest: 10_f64.powi(to),
            ticks: ticks.collect(),
        }
    }

    /// Returns the position of a value, from 0 to 1. Values outside of the axis are at its ends.
    fn position(&self, value: f64) -> f64 {
        let by = |v: f64| match self.scale {
            Scale::Linear => v,
            Scale::Logarithmic => v.max(f64::MIN_POSITIVE).log10(),
        };
        let (least, greatest) = (by(self.least), by(self.greatest));
        ((by(value) - least) / (greatest - least)).clamp(0.0, 1.0)
    }
}

/// Renders a chart. `limit` is a value of `y` that is marked.
pub fn chart(x: &Axis, y: &Axis, lines: &[Line], limit: Option<f64>) -> String {
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n");
    for (value, label) in &x.ticks {
        let at = across(x, *value);
        let (bottom, below) = (HEIGHT - BOTTOM, HEIGHT - BOTTOM + 16.0);
        add(
            &mut svg,
            &format!(
                "<line class=\"grid\" x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{bottom}\"/>"
            ),
        );
        add(
            &mut svg,
            &format!(
                "<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{}</text>",
                escaped(label)
            ),
        );
    }
    for (value, label) in &y.ticks {
        let at = up(y, *value);
        add(&mut svg, &horizontal("grid", at));
        add(
            &mut svg,
            &format!(
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                at + 4.0,
                escaped(label)
            ),
        );
    }
    titles(&mut svg, x, y);
    if let Some(limit) = limit.filter(|limit| (y.least..=y.greatest).contains(limit)) {
        add(&mut svg, &horizontal("limit", up(y, limit)));
    }
    for line in lines {
        add(&mut svg, &polyline(x, y, line));
    }
    svg + "</svg>\n"
}

fn horizontal(class: &str, at: f64) -> String {
    let right = WIDTH - RIGHT;
    format!("<line class=\"{class}\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\"/>")
}

fn titles(svg: &mut String, x: &Axis, y: &Axis) {
    let (middle, bottom) = ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 6.0);
    add(
        svg,
        &format!(
            "<text x=\"{middle}\" y=\"{bottom}\" text-anchor=\"middle\">{}</text>",
            escaped(x.title)
        ),
    );
    let height = (TOP + HEIGHT - BOTTOM) / 2.0;
    add(
        svg,
        &format!(
            "<text x=\"14\" y=\"{height}\" text-anchor=\"middle\" transform=\"rotate(-90 14 {height})\">{}</text>",
            escaped(y.title)
        ),
    );
}

fn polyline(x: &Axis, y: &Axis, line: &Line) -> String {
    let position = |(a, b): &(f64, f64)| format!("{:.1},{:.1}", across(x, *a), up(y, *b));
    let points: Vec<String> = line.points.iter().map(position).collect();
    let (class, name, points) = (line.class, escaped(&line.name), points.join(" "));
    format!("<polyline class=\"{class}\" points=\"{points}\"><title>{name}</title></polyline>")
}

/// Renders the legend of the lines as HTML.
pub fn legend(lines: &[Line]) -> String {
    let mut html = "<p class=\"legend\">".to_owned();
    for line in lines {
        let (class, name) = (line.class, escaped(&line.name));
        add(
            &mut html,
            &format!(
                "<svg viewBox=\"0 0 24 8\"><line class=\"{class}\" x1=\"0\" y1=\"4\" x2=\"24\" y2=\"4\"/></svg> {name} "
            ),
        );
    }
    html + "</p>\n"
}

fn across(x: &Axis, value: f64) -> f64 {
    LEFT + x.position(value) * (WIDTH - LEFT - RIGHT)
}

fn up(y: &Axis, value: f64) -> f64 {
    HEIGHT - BOTTOM - y.position(value) * (HEIGHT - TOP - BOTTOM)
}

/// Returns 1, 2 or 5 times a power of ten, at least `least`.
fn round_step(least: f64) -> f64 {
    let decade = 10_f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|f| f * decade >= least);
    factor.unwrap_or(10.0) * decade
}

fn label(value: f64) -> String {
    // Avoids labels such as 0.30000000000000004, which sums of floating-point steps produce.
    let rounded = (value * 1e6).round() / 1e6;
    format!("{rounded}")
}

/// Escapes text for HTML and SVG.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            other => safe.push(other),
        }
    }
    safe
}

fn add(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_labels_are_round_and_reach_the_greatest() {
        let axis = Axis::linear("s", 0.7);
        assert!(axis.greatest >= 0.7);
        let labels: Vec<_> = axis.ticks.iter().map(|(_, label)| label.as_str()).collect();
        assert_eq!(labels, ["0", "0.2", "0.4", "0.6", "0.8"]);
        assert_eq!(Axis::linear("s", 0.0).ticks.len(), 2);
    }

    #[test]
    fn logarithmic_places() {
        let axis = Axis::logarithmic("ms", 0.3, 250.0);
        assert_eq!((axis.least, axis.greatest), (0.1, 1000.0));
        assert!((axis.position(10.0) - 0.5).abs() < 1e-9);
        assert_eq!((axis.position(0.0), axis.position(1e9)), (0.0, 1.0));
    }

    #[test]
    fn a_chart_has_its_lines_and_escapes_text() {
        let line = Line {
            name: "<p99>".into(),
            class: "a",
            points: vec![(0.0, 1.0), (1.0, 2.0)],
        };
        let (x, y) = (Axis::linear("s", 1.0), Axis::linear("ms", 2.0));
        let svg = chart(&x, &y, &[line], Some(1.0));
        assert!(
            svg.contains("&lt;p99&gt;") && !svg.contains("<p99>"),
            "{svg}"
        );
        assert!(
            svg.contains("class=\"limit\"") && svg.contains("70.0,"),
            "{svg}"
        );
        assert!(!chart(&x, &y, &[], Some(9.0)).contains("limit"));
    }
}
