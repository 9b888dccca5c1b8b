//! Geohashes: positions as 52-bit scores of a sorted set, the ranges of scores that
//! cover a circle, a box or a polygon, and distances on the sphere.
//!
//! ```text
//! 52 bits   lon lat lon lat …    26 halvings of each range, longitude in the odd bits
//! ```
//!
//! Latitudes are those of the web Mercator map (±85.05112878); the eleven-letter string of GEOHASH
//! halves ±90 instead, as the standard does. Results are to the last digit those of Redis: this follows
//! its order of floating-point operations wherever rounding could differ.
//! Pure functions; replies and names of units are with the commands.

use std::f64::consts::PI;

/// The largest longitude in degrees; the smallest is minus this.
pub const MAX_LONGITUDE: f64 = 180.0;
/// The largest latitude in degrees; the smallest is minus this. The map ends there.
pub const MAX_LATITUDE: f64 = 85.05112878;
/// Halvings of each range in a score.
const MAX_STEP: u32 = 26;
const EARTH_RADIUS_M: f64 = 6372797.560856;
/// Half the circumference of the map.
const MERCATOR_MAX_M: f64 = 20037726.37;

const LATITUDE_BITS: u64 = 0x5555_5555_5555_5555;
const LONGITUDE_BITS: u64 = !LATITUDE_BITS;

/// A place, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub longitude: f64,
    pub latitude: f64,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    min: f64,
    max: f64,
}

const LONGITUDES: Span = Span { min: -MAX_LONGITUDE, max: MAX_LONGITUDE };
const LATITUDES: Span = Span { min: -MAX_LATITUDE, max: MAX_LATITUDE };

/// A rectangle of the grid of `step` halvings in each direction.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cell {
    bits: u64,
    step: u32,
}

#[derive(Clone, Copy, Debug)]
struct Area {
    longitude: Span,
    latitude: Span,
}

/// Spreads the bits of `x` to the even places.
fn spread(x: u32) -> u64 {
    let mut x = u64::from(x);
    x = (x | (x << 16)) & 0x0000_ffff_0000_ffff;
    x = (x | (x << 8)) & 0x00ff_00ff_00ff_00ff;
    x = (x | (x << 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    x = (x | (x << 2)) & 0x3333_3333_3333_3333;
    (x | (x << 1)) & LATITUDE_BITS
}

/// The reverse of [`spread`]; odd places are ignored.
fn squeeze(x: u64) -> u32 {
    let mut x = x & LATITUDE_BITS;
    x = (x | (x >> 1)) & 0x3333_3333_3333_3333;
    x = (x | (x >> 2)) & 0x0f0f_0f0f_0f0f_0f0f;
    x = (x | (x >> 4)) & 0x00ff_00ff_00ff_00ff;
    x = (x | (x >> 8)) & 0x0000_ffff_0000_ffff;
    (x | (x >> 16)) as u32
}

impl Cell {
    /// The cell of a place within the spans.
    fn at(point: Point, longitudes: Span, latitudes: Span, step: u32) -> Cell {
        let index = |value: f64, span: Span| {
            let offset = (value - span.min) / (span.max - span.min);
            (offset * (1u64 << step) as f64) as u64 as u32
        };
        let latitude = index(point.latitude, latitudes);
        let longitude = index(point.longitude, longitudes);
        Cell { bits: spread(latitude) | spread(longitude) << 1, step }
    }

    fn area(self) -> Area {
        let span = |index: u32, span: Span| {
            let (scale, cells) = (span.max - span.min, (1u64 << self.step) as f64);
            Span {
                min: span.min + (f64::from(index) / cells) * scale,
                max: span.min + (f64::from(index.wrapping_add(1)) / cells) * scale,
            }
        };
        Area {
            longitude: span(squeeze(self.bits >> 1), LONGITUDES),
            latitude: span(squeeze(self.bits), LATITUDES),
        }
    }

    /// The cell `x` columns east and `y` rows north, around the edges.
    fn moved(self, x: i8, y: i8) -> Cell {
        let used = u64::MAX >> (64 - self.step * 2);
        let add = |bits: u64, mine: u64, by: i8| {
            // With the other coordinate's bits set, a carry runs through them.
            match by {
                0 => bits & mine,
                1 => ((bits & mine) + ((!mine & used) + 1)) & mine & used,
                _ => (((bits & mine) | (!mine & used)).wrapping_sub((!mine & used) + 1)) & mine & used,
            }
        };
        Cell { bits: add(self.bits, LONGITUDE_BITS, x) | add(self.bits, LATITUDE_BITS, y), step: self.step }
    }

    /// Scores of the places in the cell: from the first on and below the second.
    fn scores(self) -> (f64, f64) {
        let shift = 2 * (MAX_STEP - self.step);
        ((self.bits << shift) as f64, ((self.bits + 1) << shift) as f64)
    }
}

/// The score of a place, which has to lie within the map.
pub fn encode(point: Point) -> f64 {
    Cell::at(point, LONGITUDES, LATITUDES, MAX_STEP).bits as f64
}

/// The middle of the smallest cell of a score. Every score has one.
pub fn decode(score: f64) -> Point {
    // Negative scores wrap as the processor's conversion does.
    let bits = if score < 0.0 { score as i64 as u64 } else { score as u64 };
    let area = Cell { bits, step: MAX_STEP }.area();
    let middle = |span: Span, most: f64| ((span.min + span.max) / 2.0).clamp(-most, most);
    Point { longitude: middle(area.longitude, MAX_LONGITUDE), latitude: middle(area.latitude, MAX_LATITUDE) }
}

/// The standard geohash string of a place. The eleventh letter would need 55 bits: it is always `0`.
pub fn to_string(point: Point) -> [u8; 11] {
    const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
    let whole = |max: f64| Span { min: -max, max };
    let bits = Cell::at(point, whole(180.0), whole(90.0), MAX_STEP).bits;
    std::array::from_fn(|i| match i {
        10 => b'0',
        i => ALPHABET[(bits >> (52 - (i + 1) * 5)) as usize & 31],
    })
}

fn radians(degrees: f64) -> f64 {
    degrees * (PI / 180.0)
}

fn degrees(radians: f64) -> f64 {
    radians / (PI / 180.0)
}

fn latitude_distance(a: f64, b: f64) -> f64 {
    EARTH_RADIUS_M * (radians(b) - radians(a)).abs()
}

/// Metres between two places along the sphere (haversine).
pub fn distance(a: Point, b: Point) -> f64 {
    let v = ((radians(b.longitude) - radians(a.longitude)) / 2.0).sin();
    if v == 0.0 {
        return latitude_distance(a.latitude, b.latitude);
    }
    let (from, to) = (radians(a.latitude), radians(b.latitude));
    let u = ((to - from) / 2.0).sin();
    let h = u * u + from.cos() * to.cos() * v * v;
    2.0 * EARTH_RADIUS_M * h.sqrt().asin()
}

/// The shape of a search around a centre. Lengths are in units of `unit_m` metres.
#[derive(Clone, Copy, Debug)]
pub enum Shape<'a> {
    Circle {
        radius: f64,
        unit_m: f64,
    },
    Box {
        width: f64,
        height: f64,
        unit_m: f64,
    },
    /// At least three corners; the centre is [`centroid`] of them.
    Polygon {
        corners: &'a [Point],
    },
}

/// The middle of a polygon's corners on the sphere.
pub fn centroid(corners: &[Point]) -> Point {
    let (mut x, mut y, mut z) = (0.0, 0.0, 0.0);
    for corner in corners {
        let (longitude, latitude) = (radians(corner.longitude), radians(corner.latitude));
        x += latitude.cos() * longitude.cos();
        y += latitude.cos() * longitude.sin();
        z += latitude.sin();
    }
    let across = (x * x + y * y).sqrt();
    Point { longitude: degrees(y.atan2(x)), latitude: degrees(z.atan2(across)) }
}

impl Shape<'_> {
    /// The distance of `point` from `center` in metres, if it lies within the shape around it.
    pub fn distance_within(&self, center: Point, point: Point) -> Option<f64> {
        match *self {
            Shape::Circle { radius, unit_m } => {
                let most = radius * unit_m;
                // No path is shorter than the difference of latitudes, which needs no trigonometry; the
                // margin is for rounding.
                if latitude_distance(center.latitude, point.latitude) > most * (1.0 + 1e-9) + 1e-6 {
                    return None;
                }
                let metres = distance(center, point);
                (metres <= most).then_some(metres)
            }
            Shape::Box { width, height, unit_m } => {
                if latitude_distance(point.latitude, center.latitude) > height * unit_m / 2.0 {
                    return None;
                }
                let beside = Point { latitude: point.latitude, ..center };
                let is_inside = distance(point, beside) <= width * unit_m / 2.0;
                is_inside.then(|| distance(center, point))
            }
            Shape::Polygon { corners } => encloses(corners, point).then(|| distance(center, point)),
        }
    }

    /// The box of longitudes and latitudes around the shape. Its sides are bent on the map: the end
    /// nearer to the pole of the centre's hemisphere is taken for the width.
    fn bounds(&self, center: Point) -> Area {
        let (height, width) = match *self {
            Shape::Circle { radius, unit_m } => (unit_m * radius, unit_m * radius),
            Shape::Box { width, height, unit_m } => (unit_m * (height / 2.0), unit_m * (width / 2.0)),
            Shape::Polygon { corners } => {
                let span = |of: fn(&Point) -> f64, most: f64| Span {
                    min: corners.iter().map(of).fold(most, f64::min),
                    max: corners.iter().map(of).fold(-most, f64::max),
                };
                return Area {
                    longitude: span(|p| p.longitude, MAX_LONGITUDE),
                    latitude: span(|p| p.latitude, MAX_LATITUDE),
                };
            }
        };
        let latitude_delta = degrees(height / EARTH_RADIUS_M);
        let widest = if center.latitude < 0.0 {
            center.latitude - latitude_delta
        } else {
            center.latitude + latitude_delta
        };
        let longitude_delta = degrees(width / EARTH_RADIUS_M / radians(widest).cos());
        let around = |middle: f64, delta: f64| Span { min: middle - delta, max: middle + delta };
        Area {
            longitude: around(center.longitude, longitude_delta),
            latitude: around(center.latitude, latitude_delta),
        }
    }

    /// Metres from the centre to the farthest point.
    fn reach(&self, center: Point, bounds: &Area) -> f64 {
        match *self {
            Shape::Circle { radius, unit_m } => radius * unit_m,
            Shape::Box { width, height, unit_m } => {
                ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt() * unit_m
            }
            Shape::Polygon { .. } => {
                let corner = |longitude, latitude| distance(center, Point { longitude, latitude });
                let Area { longitude, latitude } = *bounds;
                corner(longitude.min, latitude.max)
                    .max(corner(longitude.max, latitude.max))
                    .max(corner(longitude.min, latitude.min))
                    .max(corner(longitude.max, latitude.min))
            }
        }
    }

    /// The ranges of scores, each from its first on and below its second, that hold every place
    /// within the shape around `center`, and others near it. At most nine; in Redis's order, which
    /// shows in replies that are not sorted.
    pub fn score_ranges(&self, center: Point) -> Vec<(f64, f64)> {
        let bounds = self.bounds(center);
        let mut step = steps_for(self.reach(center, &bounds), center.latitude);
        // The centroid of a polygon around a pole can lie outside the map.
        let seat = Point {
            latitude: center.latitude.clamp(-MAX_LATITUDE, MAX_LATITUDE),
            longitude: center.longitude.clamp(-MAX_LONGITUDE, MAX_LONGITUDE),
        };
        let mut cell = Cell::at(seat, LONGITUDES, LATITUDES, step);
        if step > 1 && !neighbours_reach(cell, &bounds) {
            step -= 1;
            cell = Cell::at(seat, LONGITUDES, LATITUDES, step);
        }
        let area = cell.area();
        // A side on which the cell itself goes farther than the shape needs no neighbours.
        let trim = step >= 2;
        let no_south = trim && area.latitude.min < bounds.latitude.min;
        let no_north = trim && area.latitude.max > bounds.latitude.max;
        let no_west = trim && area.longitude.min < bounds.longitude.min;
        let no_east = trim && area.longitude.max > bounds.longitude.max;

        const ORDER: [(i8, i8); 9] =
            [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];
        let mut ranges = Vec::with_capacity(ORDER.len());
        let mut previous = None;
        for (x, y) in ORDER {
            let is_needless =
                (y < 0 && no_south) || (y > 0 && no_north) || (x < 0 && no_west) || (x > 0 && no_east);
            let neighbour = cell.moved(x, y);
            // On a coarse grid the way around the world leads to the same cell.
            if is_needless || previous == Some(neighbour) {
                continue;
            }
            ranges.push(neighbour.scores());
            if (x, y) != (0, 0) {
                previous = Some(neighbour);
            }
        }
        ranges
    }
}

/// Whether the cells around this one reach as far as the bounds on all four sides.
fn neighbours_reach(cell: Cell, bounds: &Area) -> bool {
    let beside = |x, y| cell.moved(x, y).area();
    let falls_short = beside(0, 1).latitude.max < bounds.latitude.max
        || beside(0, -1).latitude.min > bounds.latitude.min
        || beside(1, 0).longitude.max < bounds.longitude.max
        || beside(-1, 0).longitude.min > bounds.longitude.min;
    !falls_short
}

/// How fine a grid may be whose nine cells around a place are to hold a circle around it.
fn steps_for(radius_m: f64, latitude: f64) -> u32 {
    if radius_m == 0.0 {
        return MAX_STEP;
    }
    let (mut radius_m, mut step) = (radius_m, 1);
    while radius_m < MERCATOR_MAX_M {
        radius_m *= 2.0;
        step += 1;
    }
    step -= 2;
    // Cells become narrow towards the poles.
    if latitude.abs() > 66.0 {
        step -= 1;
        if latitude.abs() > 80.0 {
            step -= 1;
        }
    }
    step.clamp(1, MAX_STEP as i32) as u32
}

/// Whether a ray from the point crosses the polygon's sides an odd number of times.
fn encloses(corners: &[Point], point: Point) -> bool {
    let Some(mut b) = corners.last() else { return false };
    let mut is_inside = false;
    for a in corners {
        if (a.latitude > point.latitude) != (b.latitude > point.latitude) {
            let crossing = (b.longitude - a.longitude) * (point.latitude - a.latitude)
                / (b.latitude - a.latitude)
                + a.longitude;
            is_inside ^= point.longitude < crossing;
        }
        b = a;
    }
    is_inside
}

#[cfg(test)]
#[path = "geohash_tests.rs"]
mod tests;
