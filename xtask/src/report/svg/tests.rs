//! Whole pictures: what must hold whatever is drawn.

use super::super::document::{
    Axis, BarSeries, Bars, Figure, LineSeries, Lines, Mark, Places, Plot, Point, Scale, Value,
};
use super::draw;

fn mark() -> Mark {
    Mark { name: "must & can".to_owned(), value: 100.0 }
}

fn bars(values: Vec<Option<Value>>) -> Figure {
    let bars = Bars {
        label: "ns per frame".to_owned(),
        categories: (0..values.len()).map(|number| format!("system <{number}>")).collect(),
        series: vec![BarSeries { name: "64 B".to_owned(), values }],
        marks: vec![mark()],
    };
    Figure { title: "cost".to_owned(), note: "note ".repeat(60), plot: Plot::Bars(bars) }
}

fn lines(places: Places, points: Vec<(f64, Value)>) -> Figure {
    let points = points.into_iter().map(|(x, y)| Point { x, y }).collect();
    let lines = Lines {
        x: Axis { label: "frame, bytes".to_owned(), places },
        y: Axis { label: "cycles".to_owned(), places: Places::Numbers(Scale::Log) },
        series: vec![LineSeries { name: "encap".to_owned(), points }],
        marks: vec![mark()],
    };
    Figure { title: "sizes".to_owned(), note: String::new(), plot: Plot::Lines(lines) }
}

/// The values of an attribute.
fn attribute<'s>(svg: &'s str, name: &str) -> Vec<&'s str> {
    let start = format!(" {name}=\"");
    svg.split(&start).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// Every place lies in the picture.
fn assert_inside(svg: &str) {
    let number = |text: &str| text.parse::<f64>().unwrap_or(f64::NAN);
    let (width, height) = (number(attribute(svg, "width")[0]), number(attribute(svg, "height")[0]));
    let mut places: Vec<(f64, f64)> = Vec::new();
    for points in attribute(svg, "points") {
        places.extend(
            points.split(' ').filter_map(|point| point.split_once(',')).map(|(x, y)| (number(x), number(y))),
        );
    }
    for element in svg.lines().filter(|line| line.starts_with("<text")) {
        places.push((number(attribute(element, "x")[0]), number(attribute(element, "y")[0])));
    }
    assert!(places.len() > 4, "{svg}");
    for (x, y) in places {
        assert!(
            (0.0..=width).contains(&x) && (0.0..=height).contains(&y),
            "{x},{y} of {width},{height}: {svg}"
        );
    }
}

/// Values no measurement should give, among others that it gives.
fn odd_values() -> Vec<Value> {
    vec![
        Value::spread(80.0, 90.0, 130.0),
        Value::exact(0.0),
        Value::exact(-3.0),
        Value::exact(f64::NAN),
        Value::exact(f64::INFINITY),
        Value::exact(1e12),
    ]
}

#[test]
fn everything_stands_inside_the_picture_whatever_the_values() {
    assert_inside(&draw(&bars(odd_values().into_iter().map(Some).collect())));
    assert_inside(&draw(&bars(vec![None])));
    let numbered = |values: Vec<Value>| {
        values.into_iter().zip([0.0, 1.0, 64.0, 65.0, 1e6, 1e7]).map(|(y, x)| (x, y)).collect()
    };
    for places in
        [Places::Numbers(Scale::Linear), Places::Numbers(Scale::Log), Places::Names(vec!["one".to_owned()])]
    {
        assert_inside(&draw(&lines(places.clone(), numbered(odd_values()))));
        assert_inside(&draw(&lines(places.clone(), numbered(vec![Value::exact(1.0)]))));
        assert_inside(&draw(&lines(places, Vec::new())));
    }
}

#[test]
fn units_names_and_numbers_are_there_and_are_no_markup() {
    let svg = draw(&bars(vec![Some(Value::spread(80.0, 90.0, 130.0)), None]));
    for text in ["cost", "ns per frame", "system &lt;1&gt;", "64 B", "must &amp; can", ">90<", ">0<"] {
        assert!(svg.contains(text), "{text}: {svg}");
    }
}

#[test]
fn labels_of_the_horizontal_axis_do_not_stand_on_each_other() {
    let points = [1.0, 1.1, 10.0, 1000.0].map(|x| (x, Value::exact(5.0))).to_vec();
    let svg = draw(&lines(Places::Numbers(Scale::Log), points));
    assert!(svg.contains(">1<") && svg.contains(">1000<") && !svg.contains(">1.1<"), "{svg}");
}
