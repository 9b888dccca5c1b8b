//! Geo searches: GEORADIUS and its three kin, GEOSEARCH, GEOSEARCHSTORE; members within a circle, a box or a
//! polygon.
//!
//! The GEORADIUS family gives centre and shape by position, GEOSEARCH by named options; the other options are
//! the same.

use std::ops::ControlFlow;

use crate::base::number;
use crate::commands::geo::{point, reply_distance, reply_point, unit};
use crate::commands::support::args::{self, is};
use crate::commands::support::listpack_reply::write_entry;
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

fn circle(args: Args<'_>, at: usize) -> Result<Area, CommandError> {
    let radius = length(args.at(at), "ERR need numeric radius")?;
    if radius < 0.0 {
        return Err(CommandError::text("ERR radius cannot be negative"));
    }
    Ok(Area::Circle { radius, unit_m: unit(args.at(at + 1))? })
}

fn rectangle(args: Args<'_>, at: usize) -> Result<Area, CommandError> {
    let width = length(args.at(at), "ERR need numeric width")?;
    let height = length(args.at(at + 1), "ERR need numeric height")?;
    if width < 0.0 || height < 0.0 {
        return Err(CommandError::text("ERR height or width cannot be negative"));
    }
    Ok(Area::Box { width, height, unit_m: unit(args.at(at + 2))? })
}

/// Parses a polygon; the number of its corners is at index `at`.
fn polygon(args: Args<'_>, at: usize) -> Result<Area, CommandError> {
    const NUMBER: CommandError = CommandError::text("ERR invalid number of vertices");
    const TOO_FEW: CommandError = CommandError::text("ERR GEOSEARCH BYPOLYGON must have at least 3 vertices");
    let count = number::parse_i64(args.at(at)).and_then(|n| i32::try_from(n).ok()).ok_or(NUMBER)?;
    let most = (args.len() - at - 1) / 2;
    let count = usize::try_from(count).ok().filter(|n| (3..=most).contains(n)).ok_or(TOO_FEW)?;
    let corners = (0..count).map(|i| point(args, at + 1 + 2 * i)).collect::<Result<_, _>>()?;
    Ok(Area::Polygon { corners })
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
        let mut at = match form {
            Form::Radius => {
                query.center = Some(point(args, 2)?);
                query.area = Some(circle(args, 4)?);
                6
            }
            Form::RadiusByMember => {
                // Without a key, neither the member nor the radius is checked, as in Redis.
                if let Some(zset) = zset {
                    query.center = Some(place_of(zset, args.at(2))?);
                    query.area = Some(circle(args, 3)?);
                }
                5
            }
            Form::Search => 2,
            Form::SearchStore => 3,
        };
        while at < args.len() {
            let taken = query.parse_option(args, at, stores)?;
            at += match taken {
                0 if matches!(form, Form::Search | Form::SearchStore) => {
                    query.parse_geometry(args, at, zset)?
                }
                taken => taken,
            };
        }
        query.check(args)?;
        Ok(query)
    }

    /// Parses one of the options of all forms; returns how many arguments it is, 0 for another option.
    fn parse_option(&mut self, args: Args<'a>, at: usize, stores: bool) -> Result<usize, CommandError> {
        let word = args.at(at);
        let by_words = matches!(self.form, Form::Search | Form::SearchStore);
        let next = args.get(at + 1);
        match word {
            word if is(word, "WITHDIST") => self.with_distance = true,
            word if is(word, "WITHHASH") => self.with_hash = true,
            word if is(word, "WITHCOORD") => self.with_point = true,
            word if is(word, "ANY") => self.any = true,
            word if is(word, "ASC") => self.order = Some(Order::Nearest),
            word if is(word, "DESC") => self.order = Some(Order::Farthest),
            word if is(word, "STOREDIST") && self.form == Form::SearchStore => self.store_distance = true,
            word if is(word, "COUNT") => {
                let Some(count) = next else { return Err(CommandError::SYNTAX) };
                let count = args::integer(count)?;
                if count <= 0 {
                    return Err(CommandError::text("ERR COUNT must be > 0"));
                }
                self.count = Some(count as usize);
                return Ok(2);
            }
            word if !by_words && stores && next.is_some() => {
                self.store_distance = is(word, "STOREDIST");
                if !self.store_distance && !is(word, "STORE") {
                    return Err(CommandError::SYNTAX);
                }
                self.store = next;
                return Ok(2);
            }
            _ if by_words => return Ok(0),
            _ => return Err(CommandError::SYNTAX),
        }
        Ok(1)
    }

    /// Parses GEOSEARCH's centre or shape; returns how many arguments it is.
    fn parse_geometry(
        &mut self,
        args: Args<'a>,
        at: usize,
        zset: Option<&Zset>,
    ) -> Result<usize, CommandError> {
        let (word, more) = (args.at(at), args.len() - at - 1);
        let is_polygon = matches!(self.area, Some(Area::Polygon { .. }));
        let is_circle = matches!(self.area, Some(Area::Circle { .. }));
        let is_box = matches!(self.area, Some(Area::Box { .. }));
        if is(word, "FROMMEMBER") && more >= 1 && self.from != Some(From::Place) && !is_polygon {
            self.from = Some(From::Member);
            self.center = zset.map(|zset| place_of(zset, args.at(at + 1))).transpose()?;
            return Ok(2);
        }
        if is(word, "FROMLONLAT") && more >= 2 && self.from != Some(From::Member) && !is_polygon {
            self.from = Some(From::Place);
            self.center = Some(point(args, at + 1)?);
            return Ok(3);
        }
        if is(word, "BYRADIUS") && more >= 2 && !is_box && !is_polygon {
            self.area = Some(circle(args, at + 1)?);
            return Ok(3);
        }
        if is(word, "BYBOX") && more >= 3 && !is_circle && !is_polygon {
            self.area = Some(rectangle(args, at + 1)?);
            return Ok(4);
        }
        if is(word, "BYPOLYGON") && more >= 2 && self.from.is_none() && !is_circle && !is_box {
            let area = polygon(args, at + 1)?;
            let Area::Polygon { corners } = &area else { return Err(CommandError::SYNTAX) };
            let words = 2 + 2 * corners.len();
            self.center = Some(geohash::centroid(corners));
            self.area = Some(area);
            return Ok(words);
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
        let unit_m = self.area.as_ref().map_or(1.0, Area::unit_m);
        let mut result = Zset::new();
        result.expect(hits.len(), limits);
        for hit in hits {
            let score = if self.store_distance { hit.metres / unit_m } else { hit.score };
            result.insert(&hit.member.to_cow(), score, limits);
        }
        result
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
            call.db.set_collection(destination, result, stored);
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
