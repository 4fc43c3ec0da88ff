//! Ranges at their borders, the rules between settings, and what each record may say.

use super::*;

fn pairs(of: &[(u64, u64)]) -> Vec<u8> {
    let mut out = Vec::new();
    for &(id, value) in of {
        varint::put(&mut out, id);
        varint::put(&mut out, value);
    }
    out
}

fn hello(of: &[(u64, u64)]) -> Result<Settings, &'static str> {
    read(&pairs(of), Settings::default(), Where::Hello)
}

fn welcome(of: &[(u64, u64)]) -> Result<Settings, &'static str> {
    read(&pairs(of), Settings::default(), Where::Welcome)
}

/// The table of PROTOCOL.md §4, apart from the one in the code: id, constant, range, whether WELCOME keeps to it.
const TABLE: [(u64, u32, u32, u32, bool); 10] = [
    (1, 65_535, 8_192, 1_048_576, true),
    (2, 16, 0, 65_535, true),
    (3, 65_536, 1_280, 16_777_216, true),
    (4, 57_344, 1_024, 14_913_024, true),
    (5, 25, 0, 1_000, false),
    (6, 20_000, 1_000, 300_000, false),
    (7, 45_000, 2_000, 900_000, false),
    (8, 1_048_576, 131_072, 1_073_741_824, true),
    (9, 128, 16, 1_024, true),
    (10, 4_096, 64, 4_096, true),
];

/// Pairs with which a value of `id` is not refused for the window.
fn with_room(id: u64, value: u32) -> Vec<(u64, u64)> {
    match id {
        3 => vec![(4, 1_024), (3, value.into())],
        4 => vec![(3, 16_777_216), (4, value.into())],
        _ => vec![(id, value.into())],
    }
}

#[test]
fn what_is_not_told_is_the_constant() {
    let constants = Settings::default();
    assert_eq!(constants.values(), TABLE.map(|row| row.1));
    assert_eq!((hello(&[]), welcome(&[])), (Ok(constants), Ok(constants)));
    assert_eq!(constants.check(), Ok(()));
    let mut out = Vec::new();
    constants.put(&mut out, None);
    assert!(out.is_empty());
}

#[test]
fn each_setting_has_its_id_and_range_in_hello() {
    for (id, _, least, most, _) in TABLE {
        for value in [least, most, least.midpoint(most)] {
            let settings = hello(&with_room(id, value)).unwrap();
            assert_eq!(settings.values()[usize::try_from(id).unwrap() - 1], value, "setting {id}");
            assert_eq!(settings.check(), Ok(()));
        }
        let refused = Err("setting out of range");
        assert_eq!(hello(&[(id, u64::from(most) + 1)]), refused, "setting {id}");
        assert_eq!(hello(&[(id, (1 << 32) + u64::from(least))]), refused, "setting {id} modulo 2^32");
        if let Some(below) = least.checked_sub(1) {
            assert_eq!(hello(&[(id, below.into())]), refused, "setting {id}");
        }
    }
}

#[test]
fn welcome_raises_limits_and_lowers_timing_only() {
    for (id, constant, least, most, is_limit) in TABLE {
        let room: &[_] = if id == 4 { &[(3, 16_777_216)] } else { &[] };
        let told = |value: u32| welcome(&[room, &[(id, value.into())]].concat());
        assert!(told(constant).is_ok() && told(most).is_ok(), "setting {id}");
        if least < constant {
            let expected = if is_limit { Err("WELCOME lowers a limit") } else { Ok(()) };
            for value in [constant - 1, least] {
                assert_eq!(told(value).map(|_| ()), expected, "setting {id} of {value}");
            }
        }
    }
}

#[test]
fn resumed_changes_timing_only() {
    let base = Settings { max_channels: 99, ping_interval_ms: 7_000, ..Settings::default() };
    let resumed = |of: &[(u64, u64)]| read(&pairs(of), base, Where::Resumed);
    assert_eq!(resumed(&[]), Ok(base));
    let changed = Settings { max_ack_delay_ms: 1, ping_interval_ms: 2_000, idle_timeout_ms: 3_000, ..base };
    assert_eq!(resumed(&[(5, 1), (6, 2_000), (7, 3_000)]), Ok(changed));
    // Ignored, so that their values do not count either; but not twice.
    assert_eq!(resumed(&[(1, 0), (2, 5), (3, 0), (4, 1 << 40), (8, 0), (9, 0), (10, 0)]), Ok(base));
    assert_eq!(resumed(&[(2, 5), (2, 5)]), Err("setting twice"));
    assert_eq!(resumed(&[(6, 999)]), Err("setting out of range"));
}

#[test]
fn pairs_come_in_any_order_and_each_id_once() {
    let forward = [(2, 40), (3, 262_144), (4, 196_608), (27, 1), (58, 0)];
    let mut backward = forward;
    backward.reverse();
    assert_eq!(hello(&forward), hello(&backward));
    assert_eq!(hello(&forward).unwrap().max_item_bytes, 196_608);
    for (id, value) in [(1, 8_192), (5, 10), (10, 4_096), (11, 0), (27, 1), (64, 2), (varint::MAX, 3)] {
        assert_eq!(hello(&[(id, value), (58, 1), (id, value)]), Err("setting twice"), "{id}");
    }
}

#[test]
fn unknown_ids_are_ignored_whatever_their_value() {
    for id in [0, 11, 27, 63, 64, 256 + 1, (1 << 32) + 1, varint::MAX] {
        for value in [0, 1, varint::MAX] {
            assert_eq!(hello(&[(id, value)]), Ok(Settings::default()), "{id}");
        }
    }
}

#[test]
fn the_number_of_pairs_is_bounded() {
    let many: Vec<_> = (100..).map(|id| (id, 0)).take(MAX_PAIRS + 1).collect();
    assert_eq!(hello(&many[1..]), Ok(Settings::default()));
    assert_eq!(hello(&many), Err("too many pairs"));
}

#[test]
fn pairs_that_break_off_are_refused() {
    let whole = pairs(&[(3, 262_144), (4, 196_608)]);
    for cut in 0..whole.len() {
        let expected = match cut {
            0 => Ok(Settings::default()),
            5 => Ok(Settings { initial_window: 262_144, ..Settings::default() }),
            _ => Err("truncated"),
        };
        assert_eq!(read(&whole[..cut], Settings::default(), Where::Hello), expected, "{cut}");
    }
    assert_eq!(check_form(&whole), Ok(()));
    assert_eq!(check_form(&whole[..7]), Err("truncated"));
    assert_eq!(check_form(&pairs(&[(3, 0), (3, 0)])), Err("setting twice"));
}

#[test]
fn the_window_admits_the_largest_item_in_the_smallest_chunks() {
    for item in [1_024, 1_025, 57_344, 57_345, 14_913_024_u32] {
        // As many of 512 bytes as there are, and what is left, which may be nothing, as the last.
        let chunks = item / 512 + 1;
        let settings = Settings { max_item_bytes: item, ..Settings::default() };
        assert!(settings.least_window() >= item + 64 * chunks, "{item}");
        let least = settings.least_window();
        let (enough, too_small) = (
            Settings { initial_window: least, ..settings },
            Settings { initial_window: least - 1, ..settings },
        );
        if least >= 1_280 {
            assert_eq!(enough.check(), Ok(()), "{item}");
            assert_eq!(hello(&[(4, item.into()), (3, least.into())]), Ok(enough));
        }
        if least > 1_280 {
            let refused = SettingsError::WindowTooSmall { initial_window: least - 1, least };
            assert_eq!(too_small.check(), Err(refused), "{item}");
            let told = hello(&[(4, item.into()), (3, (least - 1).into())]);
            assert_eq!(told, Err("window too small for max_item_bytes"));
        }
    }
    // Raising one of them alone counts against the other's constant.
    assert_eq!(hello(&[(4, 65_536)]), Err("window too small for max_item_bytes"));
    assert_eq!(hello(&[(3, 1_280)]), Err("window too small for max_item_bytes"));
}

#[test]
fn the_callers_own_are_checked_with_the_name_of_the_field() {
    for (index, (_, _, least, most, _)) in TABLE.into_iter().enumerate() {
        for value in [least.checked_sub(1), most.checked_add(1)].into_iter().flatten() {
            let mut values = Settings::default().values();
            values[index] = value;
            let field = RULES[index].field;
            let error = SettingsError::OutOfRange { field, value, least, most };
            assert_eq!(Settings::from_values(values).check(), Err(error));
            assert_eq!(error.to_string(), format!("{field} is {value}, and may be {least} to {most}"));
        }
    }
    // Debug output lists the fields in their order, so that each name is that of its value.
    let shown = format!("{:?}", Settings::from_values([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
    for (number, rule) in (1..).zip(&RULES) {
        assert!(shown.contains(&format!("{}: {number}", rule.field)), "{shown}");
    }
}

#[test]
fn what_is_put_is_read() {
    let settings = Settings::from_values([1 << 20, 0, 1 << 24, 14_913_024, 0, 1_000, 2_000, 1 << 30, 16, 64]);
    for grease in [None, Some(0), Some(1), Some(u64::MAX)] {
        let mut out = Vec::new();
        settings.put(&mut out, grease);
        assert_eq!(read(&out, Settings::default(), Where::Hello), Ok(settings));
    }
    let mut out = Vec::new();
    Settings { max_channels: 128, ..Settings::default() }.put(&mut out, None);
    assert_eq!(out, [2, 0x40, 0x80]);
}

#[test]
fn grease_has_an_id_that_is_never_assigned_and_a_number_that_is_one() {
    for random in [0, 1, 2, 63, 64, 1 << 40, varint::MAX / 31, varint::MAX, u64::MAX - 1, u64::MAX] {
        let mut out = Vec::new();
        Settings::default().put(&mut out, Some(random));
        let mut reader = Reader::new(&out);
        let (id, value) = (reader.varint().unwrap(), reader.varint().unwrap());
        assert!(reader.is_empty());
        assert_eq!((id % 31, (id - 27) / 31), (27, value), "{random}");
        assert_eq!(read(&out, Settings::default(), Where::Welcome), Ok(Settings::default()));
    }
}
