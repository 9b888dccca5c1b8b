//! Geo commands: GEOADD, GEODIST, GEOHASH, GEOPOS; places are members of a sorted set with geohashes as scores.
//! The searches are in `search`.

mod search;
pub mod specs;

use crate::base::number;
use crate::commands::support::args::is;
use crate::engine::{Call, Done, Outcome, Propagation};
use crate::keyspace::event;
use crate::resp::{Args, CommandError, Reply};
use crate::value::geohash::{self, MAX_LATITUDE, MAX_LONGITUDE, Point};
use crate::value::zset::{Change, Zset};

/// Parses a longitude and a latitude.
pub fn point(longitude: &[u8], latitude: &[u8]) -> Result<Point, CommandError> {
    let degrees = |word| number::parse_f64(word).ok_or(CommandError::NOT_FLOAT);
    let (longitude, latitude) = (degrees(longitude)?, degrees(latitude)?);
    if longitude.abs() > MAX_LONGITUDE || latitude.abs() > MAX_LATITUDE {
        let text = format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}");
        return Err(CommandError::new(text));
    }
    Ok(Point { longitude, latitude })
}

/// Parses a unit of length; returns how many metres it is.
pub fn unit(word: &[u8]) -> Result<f64, CommandError> {
    match word {
        word if is(word, "M") => Ok(1.0),
        word if is(word, "KM") => Ok(1000.0),
        word if is(word, "FT") => Ok(0.3048),
        word if is(word, "MI") => Ok(1609.34),
        _ => Err(CommandError::text("ERR unsupported unit provided. please use M, KM, FT, MI")),
    }
}

/// Writes a distance with four decimals.
pub fn reply_distance(reply: &mut Reply, distance: f64) {
    let mut text = Vec::with_capacity(24);
    number::push_fixed(&mut text, distance, 4);
    reply.bulk(&text);
}

/// Writes longitude and latitude as an array of two.
pub fn reply_point(reply: &mut Reply, point: Point) {
    reply.array(2);
    reply.double(point.longitude);
    reply.double(point.latitude);
}

/// The arguments of GEOADD: options, members and their scores.
struct Adding {
    nx: bool,
    xx: bool,
    ch: bool,
    /// The index of the first longitude.
    first: usize,
    scores: Vec<f64>,
}

impl Adding {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut adding = Adding { nx: false, xx: false, ch: false, first: 2, scores: Vec::new() };
        while let Some(word) = args.get(adding.first) {
            match word {
                word if is(word, "NX") => adding.nx = true,
                word if is(word, "XX") => adding.xx = true,
                word if is(word, "CH") => adding.ch = true,
                _ => break,
            }
            adding.first += 1;
        }
        let words = args.len() - adding.first;
        if !words.is_multiple_of(3) || (adding.nx && adding.xx) {
            return Err(CommandError::SYNTAX);
        }
        let places = (adding.first..args.len()).step_by(3);
        adding.scores = places
            .map(|at| point(args.at(at), args.at(at + 1)).map(geohash::encode))
            .collect::<Result<_, _>>()?;
        if adding.scores.is_empty() {
            return Err(CommandError::SYNTAX);
        }
        Ok(adding)
    }

    /// The members with their scores.
    fn pairs<'a>(&self, args: Args<'a>) -> impl Iterator<Item = (&'a [u8], f64)> {
        self.scores.iter().enumerate().map(move |(i, score)| (args.at(self.first + 3 * i + 2), *score))
    }

    /// Propagates a ZADD, which needs no geometry.
    #[cold]
    fn propagate(&self, args: Args<'_>, propagation: &mut Propagation) {
        let mut words: Vec<Vec<u8>> = vec![b"ZADD".to_vec()];
        words.extend((1..self.first).map(|at| args.at(at).to_vec()));
        for (member, score) in self.pairs(args) {
            words.push((score as i64).to_string().into_bytes());
            words.push(member.to_vec());
        }
        propagation.rewrite_as(words.iter());
    }
}

fn geoadd(call: &mut Call<'_>) -> Outcome {
    let args = call.args;
    let adding = Adding::parse(args)?;
    let key = args.at(1);
    let edit =
        if adding.xx { call.db.edit::<Zset>(key)? } else { Some(call.db.edit_or_create::<Zset>(key)?) };
    let Some(mut edit) = edit else {
        call.reply.integer(0);
        return Ok(Done::Replied);
    };
    let is_new = edit.is_new();
    let (zset, _, limits) = edit.parts();
    if is_new {
        zset.expect(adding.scores.len(), limits);
    }
    let (mut added, mut updated) = (0, 0);
    for (member, score) in adding.pairs(args) {
        if (adding.nx || adding.xx) && zset.score(member).is_some() == adding.nx {
            continue;
        }
        match zset.insert(member, score, limits) {
            Change::Added => added += 1,
            Change::Updated => updated += 1,
            Change::Unchanged => {}
        }
    }
    edit.finish(added + updated, event::ZADD);
    call.reply.count(if adding.ch { added + updated } else { added });
    if call.propagation.has_consumers() {
        adding.propagate(args, call.propagation);
    }
    Ok(Done::Replied)
}

fn geodist(call: &mut Call<'_>) -> Outcome {
    let args = call.args;
    let unit_m = match args.len() {
        4 => 1.0,
        5 => unit(args.at(4))?,
        _ => return Err(CommandError::SYNTAX),
    };
    let zset = call.db.read::<Zset>(args.at(1))?;
    let place = |member| zset.and_then(|zset| zset.score(member)).map(geohash::decode);
    match (place(args.at(2)), place(args.at(3))) {
        (Some(a), Some(b)) => reply_distance(call.reply, geohash::distance(a, b) / unit_m),
        _ => call.reply.null(),
    }
    Ok(Done::Replied)
}

fn geohash(call: &mut Call<'_>) -> Outcome {
    let zset = call.db.read::<Zset>(call.args.at(1))?;
    call.reply.array(call.args.len() - 2);
    for member in call.args.tail(2).iter() {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => call.reply.bulk(&geohash::to_string(geohash::decode(score))),
            None => call.reply.null(),
        }
    }
    Ok(Done::Replied)
}

fn geopos(call: &mut Call<'_>) -> Outcome {
    let zset = call.db.read::<Zset>(call.args.at(1))?;
    call.reply.array(call.args.len() - 2);
    for member in call.args.tail(2).iter() {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => reply_point(call.reply, geohash::decode(score)),
            None => call.reply.null_array(),
        }
    }
    Ok(Done::Replied)
}

#[cfg(test)]
mod tests;
