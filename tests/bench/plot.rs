//! The benchmark's picture, kept beside its tables.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

const SIZE: (u32, u32) = (640, 400);
const FONT: &str = "sans-serif";

/// Jobs a second of so many workers, beside as many times what one worker does.
pub fn throughput(path: &Path, title: &str, measured: &[(usize, f64)]) {
    draw(path, title, measured).expect("a picture");
}

fn draw(path: &Path, title: &str, measured: &[(usize, f64)]) -> Result<(), Box<dyn Error>> {
    let points: Vec<(f64, f64)> = measured
        .iter()
        .map(|(workers, jobs)| (*workers as f64, *jobs))
        .collect();
    let (first, last) = (points[0], points[points.len() - 1]);
    let of_one = first.1 / first.0;
    let (right, top) = (last.0 * 1.05, (last.0 * of_one).max(last.1) * 1.1);

    let picture = SVGBackend::new(path, SIZE).into_drawing_area();
    picture.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&picture)
        .caption(title, (FONT, 16))
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..right, 0.0..top)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("workers")
        .y_desc("jobs a second")
        .x_label_formatter(&|value| format!("{value:.0}"))
        .y_label_formatter(&|value| format!("{value:.0}"))
        .label_style((FONT, 13))
        .draw()?;
    let line = [(0.0, 0.0), (last.0, last.0 * of_one)];
    chart
        .draw_series(LineSeries::new(line, BLACK.mix(0.4)))?
        .label("as many times one worker")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], BLACK.mix(0.4)));
    let dots = points.iter().map(|at| Circle::new(*at, 4, BLUE.filled()));
    chart
        .draw_series(dots)?
        .label("measured")
        .legend(|(x, y)| Circle::new((x + 8, y), 4, BLUE.filled()));
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .border_style(BLACK.mix(0.2))
        .background_style(WHITE)
        .label_font((FONT, 13))
        .draw()?;
    picture.present()?;
    Ok(())
}
