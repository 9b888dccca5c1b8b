//! Tests of geohashes against figures computed by Redis 8.0.

use super::*;

/// What Redis makes of a place, another one and a shape around the first.
struct Known {
    at: Point,
    other: Point,
    shape: Shape<'static>,
    score: f64,
    middle: Point,
    metres: f64,
    is_within: bool,
    ranges: &'static [(f64, f64)],
}

const fn p(longitude: f64, latitude: f64) -> Point {
    Point { longitude, latitude }
}

const KNOWN: &[Known] = &[
    Known {
        at: p(177.70351223590882, -11.333889698672749),
        other: p(177.70490387555512, -11.332644761424895),
        shape: Shape::Circle { radius: 0.7053960878439249, unit_m: 1000.0 },
        score: 3359864772075179.0,
        middle: p(177.70351141691208, -11.333890334171365),
        metres: 205.4449133599442,
        is_within: true,
        ranges: &[(3359864768167936.0, 3359864784945152.0), (3359864583618560.0, 3359864600395776.0)],
    },
    Known {
        at: p(-178.3980571393608, 7.91232189312457),
        other: p(-178.40124326589773, 7.917070711432001),
        shape: Shape::Box { width: 57.87140931893659, height: 74.2658554804384, unit_m: 0.3048 },
        score: 1130803763965630.0,
        middle: p(-178.39805871248245, 7.9123209356029065),
        metres: 634.1869434503037,
        is_within: false,
        ranges: &[
            (1130803763961856.0, 1130803763965952.0),
            (1130803763965952.0, 1130803763970048.0),
            (1130803763949568.0, 1130803763953664.0),
            (1130803763986432.0, 1130803763990528.0),
            (1130803763990528.0, 1130803763994624.0),
            (1130803763974144.0, 1130803763978240.0),
        ],
    },
    Known {
        at: p(-3.149330056776904, -76.68435594688412),
        other: p(-3.1451843249421336, -76.68474408600221),
        shape: Shape::Circle { radius: 85.2221816638149, unit_m: 1000.0 },
        score: 755562356443785.0,
        middle: p(-3.149329125881195, -76.68435515301806),
        metres: 114.63966447327202,
        is_within: true,
        ranges: &[
            (755364488282112.0, 756463999909888.0),
            (754264976654336.0, 755364488282112.0),
            (2257297371824128.0, 2258396883451904.0),
            (753165465026560.0, 754264976654336.0),
            (2256197860196352.0, 2257297371824128.0),
            (752065953398784.0, 753165465026560.0),
        ],
    },
    Known {
        at: p(115.76096618619096, -13.240771952347316),
        other: p(126.99076393689259, -29.85353799074602),
        shape: Shape::Box { width: 39.03093367826585, height: 19.243053591130522, unit_m: 0.3048 },
        score: 3207834576406273.0,
        middle: p(115.76096802949905, -13.2407712012267),
        metres: 2179322.106351709,
        is_within: false,
        ranges: &[(3207834576405504.0, 3207834576406528.0)],
    },
    Known {
        at: p(116.00017264344649, 75.41686966779862),
        other: p(115.99900031337096, 75.42060412694985),
        shape: Shape::Circle { radius: 0.7914631807493343, unit_m: 1609.34 },
        score: 4345917052342011.0,
        middle: p(116.0001727938652, 75.41687037201177),
        metres: 416.6652294759844,
        is_within: true,
        ranges: &[
            (4345916882419712.0, 4345917150855168.0),
            (4345905339695104.0, 4345905608130560.0),
            (4345939967868928.0, 4345940236304384.0),
            (4345928425144320.0, 4345928693579776.0),
        ],
    },
    Known {
        at: p(-94.14029777794849, 11.217153619522861),
        other: p(-94.1357468287973, 11.216898500500777),
        shape: Shape::Box { width: 3504539.0700068222, height: 18827.616863811836, unit_m: 0.3048 },
        score: 1330569234763029.0,
        middle: p(-94.1402980685234, 11.21715375117801),
        metres: 497.3259616188253,
        is_within: true,
        ranges: &[(1328210046353408.0, 1332608092864512.0), (1706442046308352.0, 1710840092819456.0)],
    },
    Known {
        at: p(-160.82718303027167, -39.43368467592258),
        other: p(-160.95510636296794, -39.467164420651216),
        shape: Shape::Box { width: 6.056464611750567, height: 99.53445921031731, unit_m: 1.0 },
        score: 293761834966660.0,
        middle: p(-160.8271810412407, -39.433684905266176),
        metres: 11600.755169121026,
        is_within: false,
        ranges: &[(293761834942464.0, 293761835008000.0), (293761835008000.0, 293761835073536.0)],
    },
    Known {
        at: p(35.755592334466655, -55.731764986352594),
        other: p(35.753598526020944, -55.72728642532505),
        shape: Shape::Circle { radius: 0.0, unit_m: 1000.0 },
        score: 2371795285278178.0,
        middle: p(35.75559228658676, -55.73176452933448),
        metres: 513.547567152503,
        is_within: false,
        ranges: &[(2371795285278178.0, 2371795285278179.0)],
    },
    Known {
        at: p(179.1786770892982, -61.958492338901955),
        other: p(179.17586989516195, -61.96063726797367),
        shape: Shape::Circle { radius: 0.7305374978727538, unit_m: 1000.0 },
        score: 3073029916065261.0,
        middle: p(179.17867809534073, -61.95849209189524),
        metres: 280.1089926009497,
        is_within: true,
        ranges: &[
            (3073029907152896.0, 3073029923930112.0),
            (3073027038248960.0, 3073027055026176.0),
            (3073029940707328.0, 3073029957484544.0),
            (3073029806489600.0, 3073029823266816.0),
            (3073027071803392.0, 3073027088580608.0),
            (3073026937585664.0, 3073026954362880.0),
        ],
    },
    Known {
        at: p(66.71789594502707, -71.34785526726307),
        other: p(66.72126897175224, -71.35024943201499),
        shape: Shape::Circle { radius: 0.0, unit_m: 1609.34 },
        score: 2422940125375395.0,
        middle: p(66.71789735555649, -71.3478546129922),
        metres: 292.0748342161045,
        is_within: false,
        ranges: &[(2422940125375395.0, 2422940125375396.0)],
    },
    Known {
        at: p(179.2032990199094, -77.56922950243953),
        other: p(179.198549406826, -77.56580891479862),
        shape: Shape::Circle { radius: 0.2651623824169784, unit_m: 1000.0 },
        score: 3007110796194736.0,
        middle: p(179.20330077409744, -77.56922884446445),
        metres: 397.09512568463674,
        is_within: false,
        ranges: &[
            (3007110795231232.0, 3007110799425536.0),
            (3007110791036928.0, 3007110795231232.0),
            (3007111155941376.0, 3007111160135680.0),
            (3007110786842624.0, 3007110791036928.0),
            (3007111151747072.0, 3007111155941376.0),
            (3007110782648320.0, 3007110786842624.0),
        ],
    },
    Known {
        at: p(179.94924196853898, 71.34812912834789),
        other: p(179.95163440441607, 71.34383981299544),
        shape: Shape::Circle { radius: 0.0, unit_m: 1000.0 },
        score: 4484890255823308.0,
        middle: p(179.9492445588112, 71.3481283628774),
        metres: 484.6174510203931,
        is_within: false,
        ranges: &[(4484890255823308.0, 4484890255823309.0)],
    },
    Known {
        at: p(126.17515278214461, 60.30006017258222),
        other: p(126.17175959060985, 60.30218739898371),
        shape: Shape::Circle { radius: 91.95575677894091, unit_m: 1609.34 },
        score: 4288566320606998.0,
        middle: p(126.17515414953232, 60.30005952343599),
        metres: 301.5706771655841,
        is_within: true,
        ranges: &[
            (4288370226233344.0, 4288645104140288.0),
            (4289194859954176.0, 4289469737861120.0),
            (4288095348326400.0, 4288370226233344.0),
            (4288919982047232.0, 4289194859954176.0),
            (4282322912280576.0, 4282597790187520.0),
            (4289744615768064.0, 4290019493675008.0),
            (4283147546001408.0, 4283422423908352.0),
            (4288645104140288.0, 4288919982047232.0),
            (4282048034373632.0, 4282322912280576.0),
        ],
    },
    Known {
        at: p(-179.37080193546942, -70.76723918756147),
        other: p(-179.37403615947886, -70.77159397003479),
        shape: Shape::Box { width: 0.0, height: 18.78684154847742, unit_m: 0.3048 },
        score: 18777426647502.0,
        middle: p(-179.37079936265945, -70.76723871062822),
        metres: 498.64756503247526,
        is_within: false,
        ranges: &[(18777426647040.0, 18777426648064.0), (18777426648064.0, 18777426649088.0)],
    },
];

fn check(known: &Known) {
    assert_eq!(encode(known.at), known.score);
    assert_eq!(decode(known.score), known.middle);
    assert_eq!(distance(known.at, known.other), known.metres);
    assert_eq!(known.shape.score_ranges(known.at), known.ranges);
    assert_eq!(known.shape.distance_within(known.at, known.other).is_some(), known.is_within);
}

#[test]
fn figures_are_those_of_redis() {
    KNOWN.iter().for_each(check);
}

#[test]
fn strings_are_the_standard_ones() {
    // From the manual's page of GEOHASH.
    let palermo = decode(encode(p(13.361389, 38.115556)));
    assert_eq!(&to_string(palermo), b"sqc8b49rny0");
    let catania = decode(encode(p(15.087269, 37.502669)));
    assert_eq!(&to_string(catania), b"sqdtr74hyu0");
    assert_eq!(format!("{:.4}", distance(palermo, catania)), "166274.1516");
}

#[test]
fn a_polygon_holds_what_its_sides_enclose() {
    let corners = [p(0.0, 0.0), p(10.0, 0.0), p(10.0, 10.0), p(5.0, 5.0), p(0.0, 10.0)];
    let shape = Shape::Polygon { corners: &corners };
    let center = centroid(&corners);
    assert!((4.9..5.1).contains(&center.longitude) && (4.9..5.1).contains(&center.latitude));
    for (point, expected) in [(p(1.0, 2.0), true), (p(5.0, 7.0), false), (p(11.0, 5.0), false)] {
        assert_eq!(shape.distance_within(center, point).is_some(), expected, "{point:?}");
    }
    let score = encode(p(1.0, 2.0));
    assert!(shape.score_ranges(center).iter().any(|&(min, max)| min <= score && score < max));
    let arctic = [p(0.0, 80.0), p(120.0, 80.0), p(-120.0, 80.0)];
    assert!(!Shape::Polygon { corners: &arctic }.score_ranges(centroid(&arctic)).is_empty());
}

#[test]
fn any_number_is_a_place_and_any_shape_has_ranges() {
    for score in [0.0, -1.0, -1e300, 1e300, f64::INFINITY, f64::NEG_INFINITY, 2f64.powi(63)] {
        let point = decode(score);
        assert!(point.longitude.abs() <= MAX_LONGITUDE && point.latitude.abs() <= MAX_LATITUDE);
        to_string(point);
        for radius in [0.0, 5e-324, 1.0, 1e7, f64::INFINITY, f64::NAN] {
            let ranges = Shape::Circle { radius, unit_m: 1.0 }.score_ranges(point);
            assert!(ranges.iter().all(|(min, max)| min < max), "{point:?} {radius}");
        }
    }
}
