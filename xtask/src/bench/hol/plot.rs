//! The picture: latency over the time of the upload, a panel for each browser, one line for each round.
//!
//! Latencies go from 20 ms to 10 s, so their axis is logarithmic. Readers have light and dark screens; the SVG brings the
//! colours of both.

use anyhow::{Context as _, Result};
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::Shift;
use plotters::coord::ranged1d::Ranged;
use plotters::drawing::{DrawingArea, IntoDrawingArea as _};
use plotters::element::{PathElement, Text};
use plotters::prelude::{Cartesian2d, IntoLogRange as _, SVGBackend};
use plotters::series::{DashedLineSeries, LineSeries};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, FontStyle, IntoFont as _, RGBColor, TextStyle};

use super::{Figures, Load, Measured, PIECES, Sample};
use crate::bench::figures::Tail;

/// Pixels of the whole, in which the backend rounds: twice as many as are shown.
const WIDTH: u32 = 1_920;
const HEIGHT: u32 = 900;
const TITLE_HEIGHT: u32 = 130;
const LEGEND_WIDTH: u32 = 340;
const MARGIN: i32 = 24;
const LABEL: u32 = 26;

/// The widths of lines.
const WIDEST: u32 = 12;
const NARROWEST: u32 = 4;

/// Latencies in milliseconds between which the axis lies.
const LOWEST: f64 = 10.0;
const HIGHEST: f64 = 20_000.0;

// What is exchanged on a dark screen. The backend writes colours as it is given them, in capitals.
const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);
const INK: RGBColor = RGBColor(0x1f, 0x23, 0x28);
const GRID: RGBColor = RGBColor(0xd1, 0xd9, 0xe0);
const DARK: &str = "<style>@media (prefers-color-scheme: dark) {\
    [fill=\"#FFFFFF\"] { fill: #0d1117 } [fill=\"#1F2328\"] { fill: #e6edf3 }\
    [stroke=\"#1F2328\"] { stroke: #9198a1 } [stroke=\"#D1D9E0\"] { stroke: #2a3038 } }</style>";

/// The contenders' colours in their order, of middle brightness: they are told apart on either paper.
const COLOURS: [RGBColor; 11] = [
    RGBColor(0x8b, 0x94, 0x9e),
    RGBColor(0xd2, 0x8b, 0x11),
    RGBColor(0x9a, 0x70, 0xe8),
    RGBColor(0xdb, 0x61, 0xa2),
    RGBColor(0x3f, 0xa3, 0x50),
    RGBColor(0x21, 0x9b, 0xb8),
    RGBColor(0xe0, 0x45, 0x3d),
    RGBColor(0x3c, 0x7d, 0xf0),
    RGBColor(0x7a, 0x8f, 0x00),
    RGBColor(0xb3, 0x6b, 0x4a),
    RGBColor(0x1f, 0x9e, 0x89),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws the uploads in messages of the first size; returns the SVG.
///
/// # Errors
///
/// If the backend fails, or there is nothing to draw.
pub(super) fn draw(Figures { load, browsers }: &Figures) -> Result<String> {
    let mut picture = String::new();
    {
        let root = SVGBackend::with_string(&mut picture, (WIDTH, HEIGHT)).into_drawing_area();
        root.fill(&PAPER)?;
        let (title, below) = root.split_vertically(TITLE_HEIGHT);
        write_title(&title, *load)?;
        let (panels, legend) = below.split_horizontally(WIDTH - LEGEND_WIDTH);
        let contenders = contenders(browsers);
        for (panel, measured) in panels.split_evenly((1, browsers.len().max(1))).iter().zip(browsers) {
            draw_panel(panel, measured, &contenders)?;
        }
        write_legend(&legend, &contenders)?;
        root.present()?;
    }
    let head = picture.find("<svg").and_then(|at| Some(at + picture.get(at..)?.find('>')? + 1));
    picture.insert_str(head.context("the backend wrote no SVG")?, DARK);
    Ok(picture)
}

/// All names, in the order in which they first occur.
fn contenders(all: &[Measured]) -> Vec<String> {
    let mut names = Vec::new();
    for name in all.iter().flat_map(|measured| measured.samples.iter().map(Sample::name)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn text(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}

fn write_title(area: &Area<'_>, load: Load) -> Result<()> {
    let bold = ("sans-serif", 40, FontStyle::Bold).into_font().color(&INK);
    let title = "How long an urgent message takes while an upload fills the link";
    area.draw(&Text::new(title, (MARGIN, 24), bold))?;
    let about = format!(
        "Latency of 32 B, sent every 100 ms while {} MiB go out in messages of {} KiB; up {:.1} MB/s with {} ms of delay",
        load.bytes >> 20,
        PIECES.first().map_or(0, |bytes| bytes >> 10),
        f64::from(load.bytes_per_second.get()) / 1e6,
        load.delay_ms,
    );
    area.draw(&Text::new(about, (MARGIN, 82), text(LABEL)))?;
    Ok(())
}

fn draw_panel(area: &Area<'_>, measured: &Measured, contenders: &[String]) -> Result<()> {
    let samples: Vec<&Sample> =
        measured.samples.iter().filter(|sample| PIECES.first() == Some(&sample.piece_bytes)).collect();
    let longest = samples.iter().map(|sample| sample.upload.took / 1_000.0).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(MARGIN)
        .margin_top(0)
        .x_label_area_size(84)
        .y_label_area_size(132)
        .caption(capitalised(&measured.browser), ("sans-serif", 30, FontStyle::Bold).into_font().color(&INK))
        .build_cartesian_2d(0.0..longest * 1.02, (LOWEST..HIGHEST).log_scale())?;
    chart
        .configure_mesh()
        .axis_style(INK)
        .bold_line_style(GRID.stroke_width(2))
        .light_line_style(GRID.mix(0.0))
        .label_style(text(LABEL))
        .axis_desc_style(text(LABEL))
        .x_labels(7)
        .x_desc("time since the upload began")
        .y_desc("latency")
        .x_label_formatter(&|seconds| format!("{seconds:.0} s"))
        .y_label_formatter(&|latency| show(*latency))
        .draw()?;
    draw_idle(&mut chart, &samples, longest)?;
    for ((contender, colour), place) in contenders.iter().zip(COLOURS.iter().cycle()).zip(0..) {
        // Most of them lie on one another: what is drawn first looks out on both sides.
        let style = colour.stroke_width(WIDEST.saturating_sub(2 * place).max(NARROWEST));
        for sample in samples.iter().filter(|sample| sample.name() == *contender) {
            let points = sample.upload.urgent.iter().map(|(at, latency)| (at / 1_000.0, *latency));
            chart.draw_series(LineSeries::new(points, style))?;
        }
    }
    Ok(())
}

/// A line where messages would be over an idle link.
fn draw_idle<X, Y>(
    chart: &mut ChartContext<'_, SVGBackend<'_>, Cartesian2d<X, Y>>,
    samples: &[&Sample],
    longest: f64,
) -> Result<()>
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    let idle = samples.iter().flat_map(|sample| sample.upload.idle.iter().copied());
    let Some(Tail { p50, .. }) = Tail::of(idle) else { return Ok(()) };
    let ends = [(0.0, p50), (longest, p50)];
    chart.draw_series(DashedLineSeries::new(ends, 12, 10, INK.stroke_width(2)))?;
    let below = text(LABEL).pos(Pos::new(HPos::Right, VPos::Top));
    chart.draw_series([Text::new(format!("idle: {p50:.0} ms"), (longest, p50 * 0.9), below)])?;
    Ok(())
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

fn show(latency: f64) -> String {
    if latency < 1_000.0 { format!("{latency:.0} ms") } else { format!("{:.0} s", latency / 1_000.0) }
}

fn write_legend(area: &Area<'_>, contenders: &[String]) -> Result<()> {
    for ((contender, colour), row) in contenders.iter().zip(COLOURS.iter().cycle()).zip(0..) {
        let y = 60 + row * 46;
        area.draw(&PathElement::new([(8, y), (52, y)], colour.stroke_width(8)))?;
        let beside = text(LABEL).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(contender.clone(), (66, y), beside))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::super::{Figures, Load, Measured, PIECES, Sample, Server, Upload};
    use super::{capitalised, draw, show};

    fn measured(browser: &str) -> Measured {
        let samples = ["raw", "gate"].map(|contender| Sample {
            contender: contender.to_owned(),
            server: Server::Node,
            piece_bytes: PIECES[0],
            round: 0,
            upload: Upload {
                idle: vec![21.0],
                urgent: (0..50).map(|n| (f64::from(n) * 100.0, f64::from(5_100 - n * 100))).collect(),
                budgets: Vec::new(),
                took: 5_000.0,
                largest_buffered_amount: 0,
                drift: 0.0,
                nearest: 0.0,
            },
        });
        Measured { browser: browser.to_owned(), samples: samples.to_vec() }
    }

    fn load() -> Load {
        let bytes_per_second = NonZeroU32::new(2_000_000).unwrap();
        Load { rounds: 1, bytes: 10 << 20, bytes_per_second, delay_ms: 20, down: false, then: None }
    }

    #[test]
    fn every_browser_has_a_panel_and_every_contender_a_name_and_the_colours_of_both_papers_are_there() {
        let figures = Figures { load: load(), browsers: vec![measured("chromium"), measured("firefox")] };
        let picture = draw(&figures).unwrap();
        for text in
            ["\nChromium\n", "\nFirefox\n", "\nraw, Node\n", "\ngate, Node\n", "\nidle: 21 ms\n", "10 MiB"]
        {
            assert!(picture.contains(text), "{text}");
        }
        for colour in ["stroke=\"#8B949E\"", "stroke=\"#D28B11\""] {
            assert_eq!(picture.matches(colour).count(), 3, "in each panel and in the legend: {colour}");
        }
        for colour in ["fill=\"#FFFFFF\"", "fill=\"#1F2328\"", "stroke=\"#1F2328\"", "stroke=\"#D1D9E0\""] {
            assert!(picture.matches(colour).count() > 1, "exchanged on a dark screen: {colour}");
        }
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert!(draw(&Figures { load: load(), browsers: Vec::new() }).unwrap().contains("</svg>"));
    }

    #[test]
    fn labels_have_their_units() {
        assert_eq!(
            [show(10.0), show(100.0), show(1_000.0), show(10_000.0)],
            ["10 ms", "100 ms", "1 s", "10 s"]
        );
        assert_eq!((capitalised("firefox"), capitalised("")), ("Firefox".to_owned(), String::new()));
    }
}
