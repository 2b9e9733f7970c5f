//! Formats that are read where they lie, in shared memory, on every context.

use fst::{IntoStreamer, Streamer};
use offspring::{Context, SharedBytes};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::harness::Outcome;

#[offspring::test]
fn a_map_of_fst(context: Context) -> Outcome {
    let keys = (0..10_000u64).map(|n| (format!("key{n:06}"), n));
    let map = fst::Map::from_iter(keys)?;
    let bytes = SharedBytes::from_bytes(map.as_fst().as_bytes())?;
    let pool = context
        .pool()
        .workers(2)
        .init(bytes, |bytes: SharedBytes| fst::Map::new(bytes).expect("a map"))
        .build()?;
    let results = pool.map(0..100u64, |map, n| {
        let mut sum = 0;
        let mut range = map
            .range()
            .ge(format!("key{:06}", n * 100))
            .lt(format!("key{:06}", n * 100 + 100))
            .into_stream();
        while let Some((_, value)) = range.next() {
            sum += value;
        }
        (map.get(format!("key{n:06}")), map.get("none"), sum)
    });
    for (n, result) in (0u64..).zip(results) {
        assert_eq!(result?, (Some(n), None, n * 10_000 + 4950));
    }
    Ok(())
}

#[derive(rkyv::Archive, rkyv::Serialize)]
struct City {
    name: String,
    people: u64,
    twins: Vec<String>,
}

#[offspring::test]
fn an_archive_of_rkyv(context: Context) -> Outcome {
    let cities: Vec<City> = (0..1000u64)
        .map(|n| City {
            name: format!("city {n}"),
            people: n * 1000,
            twins: (0..n % 5).map(|twin| format!("twin {twin}")).collect(),
        })
        .collect();
    let archive = rkyv::to_bytes::<rkyv::rancor::Error>(&cities)?;
    let bytes = SharedBytes::from_bytes(&archive)?;
    let child = context.process().start(bytes.clone(), |bytes: SharedBytes| {
        // Checked, in place: nothing is decoded.
        let cities =
            rkyv::access::<rkyv::Archived<Vec<City>>, rkyv::rancor::Error>(&bytes).unwrap();
        let inside = bytes.as_ptr_range().contains(&cities[7].name.as_ptr());
        let twins: usize = cities.iter().map(|city| city.twins.len()).sum();
        (cities[7].name.to_string(), cities[999].people.to_native(), twins, inside)
    })?;
    assert_eq!(child.join()?, ("city 7".to_owned(), 999_000, 2000, true));
    // Cut short, it is refused by the check, as from any other memory.
    let cut = bytes.slice(..bytes.len() - 16);
    assert!(rkyv::access::<rkyv::Archived<Vec<City>>, rkyv::rancor::Error>(&cut).is_err());
    Ok(())
}

#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    magic: [u8; 4],
    version: u32,
    points: [u64; 2],
}

#[offspring::test]
fn a_header_of_zerocopy(context: Context) -> Outcome {
    let mut bytes = b"OFFS".to_vec();
    bytes.extend(3u32.to_ne_bytes());
    bytes.extend([10u64, 20].map(u64::to_ne_bytes).concat());
    bytes.extend(b"the rest");
    let child =
        context.process().start(SharedBytes::from_bytes(&bytes)?, |bytes: SharedBytes| {
            let (header, rest) = zerocopy::Ref::<&[u8], Header>::from_prefix(&bytes[..]).unwrap();
            let small = zerocopy::Ref::<&[u8], Header>::from_bytes(&bytes[..8]).is_err();
            (header.magic, header.version, header.points, rest.len(), small)
        })?;
    assert_eq!(child.join()?, (*b"OFFS", 3, [10, 20], 8, true));
    Ok(())
}
