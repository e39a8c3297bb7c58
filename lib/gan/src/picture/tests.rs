use super::*;

#[test]
fn bytes_survive_the_round_trip() {
    for x in 0..=255u8 {
        assert_eq!(to_u8(to_unit(x)), x);
    }
    assert_eq!((to_unit(0), to_unit(255)), (-1.0, 1.0));
    assert_eq!((to_u8(-7.0), to_u8(7.0), to_u8(f32::NAN)), (0, 255, 0));
}
