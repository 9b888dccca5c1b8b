//! Geo searches: GEORADIUS and its three kin, GEOSEARCH, GEOSEARCHSTORE; members within a circle, a box or a
//! polygon.
//!
//! The GEORADIUS family gives centre and shape by position, GEOSEARCH by named options; the other options are
//! the same.

use std::ops::ControlFlow;

use crate::base::number;
use crate::commands::geo::{point, reply_distance, reply_point, unit};
use crate::commands::support::args::is;
use crate::commands::support::listpack_reply::write_entry;
use crate::commands::support::options::OptionReader;
use crate::engine::{Call, Done, Outcome};
use crate::keyspace::{Event, event};
use crate::resp::{Args, CommandError, Reply};
use crate::structures::listpack::Entry;
use crate::value::Limits;
use crate::value::geohash::{self, Point, Shape};
use crate::value::zset::{Near, Zset};

/// The way a command gives centre and shape.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Longitude, latitude, radius, unit.
    Radius,
    /// Member, radius, unit.
    RadiusByMember,
    /// Named options.
    Search,
    /// Named options, after the destination.
    SearchStore,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Nearest,
    Farthest,
}

/// The shape of the search, with the unit of its lengths.
enum Area {
    Circle { radius: f64, unit_m: f64 },
    Box { width: f64, height: f64, unit_m: f64 },
    Polygon { corners: Vec<Point> },
}

impl Area {
    fn shape(&self) -> Shape<'_> {
        match *self {
            Area::Circle { radius, unit_m } => Shape::Circle { radius, unit_m },
            Area::Box { width, height, unit_m } => Shape::Box { width, height, unit_m },
            Area::Polygon { ref corners } => Shape::Polygon { corners },
        }
    }

    /// Metres of the unit in which distances are replied.
    fn unit_m(&self) -> f64 {
        match *self {
            Area::Circle { unit_m, .. } | Area::Box { unit_m, .. } => unit_m,
            Area::Polygon { .. } => 1.0,
        }
    }
}

/// The parsed arguments of a search.
struct Query<'a> {
    form: Form,
    area: Option<Area>,
    center: Option<Point>,
    /// FROMMEMBER or FROMLONLAT was given; with FROMMEMBER and a missing key there is still no centre.
    from: Option<From>,
    with_distance: bool,
    with_hash: bool,
    with_point: bool,
    any: bool,
    count: Option<usize>,
    order: Option<Order>,
    store: Option<&'a [u8]>,
    store_distance: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Member,
    Place,
}

fn place_of(zset: &Zset, member: &[u8]) -> Result<Point, CommandError> {
    const ERROR: CommandError = CommandError::text("ERR could not decode requested zset member");
    zset.score(member).map(geohash::decode).ok_or(ERROR)
}

fn circle(words: &mut OptionReader<'_>) -> Result<Area, CommandError> {
    let radius = length(words.value()?, "ERR need numeric radius")?;
    if radius < 0.0 {
        return Err(CommandError::text("ERR radius cannot be negative"));
    }
    Ok(Area::Circle { radius, unit_m: unit(words.value()?)? })
}

fn rectangle(words: &mut OptionReader<'_>) -> Result<Area, CommandError> {
    let width = length(words.value()?, "ERR need numeric width")?;
    let height = length(words.value()?, "ERR need numeric height")?;
    if width < 0.0 || height < 0.0 {
        return Err(CommandError::text("ERR height or width cannot be negative"));
    }
    Ok(Area::Box { width, height, unit_m: unit(words.value()?)? })
}

/// Parses a polygon, which begins with the number of its corners.
fn polygon(words: &mut OptionReader<'_>) -> Result<Vec<Point>, CommandError> {
    const NUMBER: CommandError = CommandError::text("ERR invalid number of vertices");
    const TOO_FEW: CommandError = CommandError::text("ERR GEOSEARCH BYPOLYGON must have at least 3 vertices");
    let count = number::parse_i64(words.value()?).and_then(|n| i32::try_from(n).ok()).ok_or(NUMBER)?;
    let most = words.remaining() / 2;
    let count = usize::try_from(count).ok().filter(|n| (3..=most).contains(n)).ok_or(TOO_FEW)?;
    (0..count).map(|_| next_point(words)).collect()
}

fn next_point(words: &mut OptionReader<'_>) -> Result<Point, CommandError> {
    point(words.value()?, words.value()?)
}

fn length(arg: &[u8], error: &'static str) -> Result<f64, CommandError> {
    number::parse_f64(arg).ok_or(CommandError::text(error))
}

impl<'a> Query<'a> {
    fn parse(args: Args<'a>, form: Form, stores: bool, zset: Option<&Zset>) -> Result<Self, CommandError> {
        let mut query = Query {
            form,
            area: None,
            center: None,
            from: None,
            with_distance: false,
            with_hash: false,
            with_point: false,
            any: false,
            count: None,
            order: None,
            store: (form == Form::SearchStore).then(|| args.at(1)),
            store_distance: false,
        };
        let mut words = OptionReader::new(args, if form == Form::SearchStore { 3 } else { 2 });
        match form {
            Form::Radius => {
                query.center = Some(next_point(&mut words)?);
                query.area = Some(circle(&mut words)?);
            }
            Form::RadiusByMember => match zset {
                // Without a key, neither the member nor the radius is checked, as in Redis.
                None => words = OptionReader::new(args, 5),
                Some(zset) => {
                    query.center = Some(place_of(zset, words.value()?)?);
                    query.area = Some(circle(&mut words)?);
                }
            },
            Form::Search | Form::SearchStore => {}
        }
        while let Some(word) = words.next() {
            if !query.parse_option(word, &mut words, stores)? {
                query.parse_geometry(word, &mut words, zset)?;
            }
        }
        query.check(args)?;
        Ok(query)
    }

    /// Parses one of the options of all forms; false if `word` may be GEOSEARCH's centre or shape.
    fn parse_option(
        &mut self,
        word: &[u8],
        words: &mut OptionReader<'a>,
        stores: bool,
    ) -> Result<bool, CommandError> {
        let by_words = matches!(self.form, Form::Search | Form::SearchStore);
        match word {
            word if is(word, "WITHDIST") => self.with_distance = true,
            word if is(word, "WITHHASH") => self.with_hash = true,
            word if is(word, "WITHCOORD") => self.with_point = true,
            word if is(word, "ANY") => self.any = true,
            word if is(word, "ASC") => self.order = Some(Order::Nearest),
            word if is(word, "DESC") => self.order = Some(Order::Farthest),
            word if is(word, "STOREDIST") && self.form == Form::SearchStore => self.store_distance = true,
            word if is(word, "COUNT") => {
                let count = words.integer()?;
                if count <= 0 {
                    return Err(CommandError::text("ERR COUNT must be > 0"));
                }
                self.count = Some(count as usize);
            }
            word if !by_words && stores && (is(word, "STORE") || is(word, "STOREDIST")) => {
                self.store_distance = is(word, "STOREDIST");
                self.store = Some(words.value()?);
            }
            _ if by_words => return Ok(false),
            _ => return Err(CommandError::SYNTAX),
        }
        Ok(true)
    }

    /// Parses GEOSEARCH's centre or shape.
    fn parse_geometry(
        &mut self,
        word: &[u8],
        words: &mut OptionReader<'a>,
        zset: Option<&Zset>,
    ) -> Result<(), CommandError> {
        let more = words.remaining();
        let is_polygon = matches!(self.area, Some(Area::Polygon { .. }));
        let is_circle = matches!(self.area, Some(Area::Circle { .. }));
        let is_box = matches!(self.area, Some(Area::Box { .. }));
        if is(word, "FROMMEMBER") && more >= 1 && self.from != Some(From::Place) && !is_polygon {
            self.from = Some(From::Member);
            let member = words.value()?;
            self.center = zset.map(|zset| place_of(zset, member)).transpose()?;
            return Ok(());
        }
        if is(word, "FROMLONLAT") && more >= 2 && self.from != Some(From::Member) && !is_polygon {
            self.from = Some(From::Place);
            self.center = Some(next_point(words)?);
            return Ok(());
        }
        if is(word, "BYRADIUS") && more >= 2 && !is_box && !is_polygon {
            self.area = Some(circle(words)?);
            return Ok(());
        }
        if is(word, "BYBOX") && more >= 3 && !is_circle && !is_polygon {
            self.area = Some(rectangle(words)?);
            return Ok(());
        }
        if is(word, "BYPOLYGON") && more >= 2 && self.from.is_none() && !is_circle && !is_box {
            let corners = polygon(words)?;
            self.center = Some(geohash::centroid(&corners));
            self.area = Some(Area::Polygon { corners });
            return Ok(());
        }
        Err(CommandError::SYNTAX)
    }

    /// Checks that the options don't exclude each other and none is missing.
    fn check(&self, args: Args<'_>) -> Result<(), CommandError> {
        let by_words = matches!(self.form, Form::Search | Form::SearchStore);
        if self.store.is_some() && (self.with_distance || self.with_hash || self.with_point) {
            let what = if by_words { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
            return Err(CommandError::new(format!(
                "ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        let exactly_one = |of: &str| {
            let name = String::from_utf8_lossy(args.at(0));
            Err(CommandError::new(format!("ERR exactly one of {of} can be specified for {name}")))
        };
        let is_polygon = matches!(self.area, Some(Area::Polygon { .. }));
        if by_words && self.from.is_none() && !is_polygon {
            return exactly_one("FROMMEMBER or FROMLONLAT");
        }
        if by_words && self.area.is_none() {
            return exactly_one("BYRADIUS and BYBOX");
        }
        if self.any && self.count.is_none() {
            return Err(CommandError::text("ERR the ANY argument requires COUNT argument"));
        }
        Ok(())
    }

    /// The hits, in the order and number that the options ask for.
    fn search<'z>(&self, zset: &'z Zset) -> Vec<Hit<'z>> {
        let (Some(area), Some(center)) = (&self.area, self.center) else { return Vec::new() };
        let enough = self.count.filter(|_| self.any).unwrap_or(usize::MAX);
        let mut hits = collect(zset, center, &area.shape(), enough);
        let count = self.count.unwrap_or(usize::MAX);
        // COUNT means the nearest members, except with ANY.
        let nearest = (self.count.is_some() && !self.any).then_some(Order::Nearest);
        if let Some(order) = self.order.or(nearest) {
            let compare = |a: &Hit<'_>, b: &Hit<'_>| match order {
                Order::Nearest => a.metres.total_cmp(&b.metres),
                Order::Farthest => b.metres.total_cmp(&a.metres),
            };
            if count < hits.len() {
                hits.select_nth_unstable_by(count, compare);
                hits.truncate(count);
            }
            hits.sort_by(compare);
        }
        hits.truncate(count);
        hits
    }

    fn reply(&self, reply: &mut Reply, hits: &[Hit<'_>]) {
        let extras =
            usize::from(self.with_distance) + usize::from(self.with_hash) + usize::from(self.with_point);
        let unit_m = self.area.as_ref().map_or(1.0, Area::unit_m);
        reply.array(hits.len());
        for hit in hits {
            if extras > 0 {
                reply.array(extras + 1);
            }
            write_entry(reply, hit.member);
            if self.with_distance {
                reply_distance(reply, hit.metres / unit_m);
            }
            if self.with_hash {
                reply.integer(hit.score as i64);
            }
            if self.with_point {
                reply_point(reply, hit.point);
            }
        }
    }

    /// The sorted set that STORE stores: the hits with their geohashes or distances as scores.
    fn result(&self, hits: &[Hit<'_>], limits: &Limits) -> Zset {
        let mut result = Zset::new();
        result.expect(hits.len(), limits);
        for hit in hits {
            result.insert(&hit.member.to_cow(), self.stored_score(hit), limits);
        }
        result
    }

    fn stored_score(&self, hit: &Hit<'_>) -> f64 {
        let unit_m = self.area.as_ref().map_or(1.0, Area::unit_m);
        if self.store_distance { hit.metres / unit_m } else { hit.score }
    }

    /// What makes the same sorted set at a replica that may not know the request: polygons are Valkey's alone.
    fn effect(&self, destination: &[u8], hits: &[Hit<'_>]) -> Option<Vec<Vec<u8>>> {
        let is_known = !matches!(self.area, Some(Area::Polygon { .. }));
        (!is_known).then(|| {
            let words = hits.iter().flat_map(|hit| {
                [self.stored_score(hit).to_string().into_bytes(), hit.member.to_cow().into_owned()]
            });
            [b"ZADD".to_vec(), destination.to_vec()].into_iter().chain(words).collect()
        })
    }
}

/// A member within the shape.
struct Hit<'z> {
    member: Entry<'z>,
    score: f64,
    point: Point,
    /// Distance from the centre.
    metres: f64,
}

/// The members within the shape, at most `enough` of them.
fn collect<'z>(zset: &'z Zset, center: Point, shape: &Shape<'_>, enough: usize) -> Vec<Hit<'z>> {
    let (mut hits, mut near) = (Vec::new(), Near::default());
    for (min, max) in shape.score_ranges(center) {
        let within = |score| {
            let point = geohash::decode(score);
            shape.distance_within(center, point).map(|metres| (point, metres))
        };
        let ended = zset.select(min..max, &mut near, within, |member, score, (point, metres)| {
            hits.push(Hit { member, score, point, metres });
            if hits.len() < enough { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if ended.is_break() {
            break;
        }
    }
    hits
}

fn run(call: &mut Call<'_>, form: Form, stores: bool, stored: Event) -> Outcome {
    let args = call.args;
    let source = args.at(if form == Form::SearchStore { 2 } else { 1 });
    let limits = call.db.env.limits;
    let zset = call.db.read::<Zset>(source)?;
    let query = Query::parse(args, form, stores, zset)?;
    let hits = zset.map_or_else(Vec::new, |zset| query.search(zset));
    match query.store {
        None => query.reply(call.reply, &hits),
        Some(destination) => {
            let (count, result) = (hits.len(), query.result(&hits, limits));
            let has_consumers = call.propagation.has_consumers();
            let effect = if has_consumers { query.effect(destination, &hits) } else { None };
            call.db.set_collection(destination, result, stored);
            if let Some(words) = effect {
                call.propagation.rewrite_as([b"DEL".as_slice(), destination]);
                if count > 0 {
                    call.propagation.rewrite_as(&words);
                }
            }
            call.reply.count(count);
        }
    }
    Ok(Done::Replied)
}

pub(in crate::commands) fn georadius(call: &mut Call<'_>) -> Outcome {
    run(call, Form::Radius, true, event::GEORADIUSSTORE)
}

pub(in crate::commands) fn georadius_ro(call: &mut Call<'_>) -> Outcome {
    run(call, Form::Radius, false, event::GEORADIUSSTORE)
}

pub(in crate::commands) fn georadiusbymember(call: &mut Call<'_>) -> Outcome {
    run(call, Form::RadiusByMember, true, event::GEORADIUSSTORE)
}

pub(in crate::commands) fn georadiusbymember_ro(call: &mut Call<'_>) -> Outcome {
    run(call, Form::RadiusByMember, false, event::GEORADIUSSTORE)
}

pub(in crate::commands) fn geosearch(call: &mut Call<'_>) -> Outcome {
    run(call, Form::Search, false, event::GEOSEARCHSTORE)
}

pub(in crate::commands) fn geosearchstore(call: &mut Call<'_>) -> Outcome {
    run(call, Form::SearchStore, true, event::GEOSEARCHSTORE)
}
