"""What names of files say: patterns, what is missing, and what is proposed."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from mpimages.readers.listing import natural_key
from mpimages.readers.names import NamePattern, find_gaps, find_missing, list_pattern, propose


def touch(directory, names):
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def listed(directory, pattern):
    found = list_pattern(str(directory), pattern)
    return [path[len(str(directory)) + 1 :] for path in found.paths], found.table.tolist()


@pytest.mark.parametrize(
    ("pattern", "name", "wanted"),
    [
        ("t{t}/z{z}.tif", "t007/z12.tif", ("007", "12")),
        ("*_z{z}_c{c}_t{t}.tif", "a_z1_z2_c3_t4.tif", ("2", "3", "4")),
        ("*_z{z}_c{c}_t{t}.tif", "a_z2_cAlexa 488_t4.tif", ("2", "Alexa 488", "4")),
        ("Chan{c}_0001_0001_{z}_{t}.tif", "ChanA_0001_0001_0002_0010.tif", ("A", "0002", "0010")),
        ("*{t}.tif", "rec12-003.tif", ("003",)),  # a wildcard does not cut a number in two
        ("z{z}.tif", "z-3.tif", ("-3",)),
        ("img-{t}.tif", "img-3.tif", ("3",)),
        ("img*{t}.tif", "img-3.tif", ("3",)),
        ("rec20{t}.tif", "rec2012.tif", ("12",)),
        ("{t}0.tif", "120.tif", None),
        ("a [1] (b).{t}.x.tif", "a [1] (b).5.x.tif", ("5",)),
        ("?{t}.tif", "a5.tif", ("5",)),
        ("{t}*", "5\n.tif", ("5",)),
        ("{t}.tif", "٣.tif", None),
        ("{t}.tif", "t/5.tif", None),
        ("*{t}.tif", ".a5.tif", None),
        (".a{t}.tif", ".a5.tif", ("5",)),
        ("t{t}/t{t}_z{z}.tif", "t1/t2_z3.tif", ("1", "2", "3")),
    ],
)
def test_a_pattern_says_what_stands_for_its_numbers(pattern, name, wanted):
    assert NamePattern.parse(pattern).match(name) == wanted


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("*.tif", "none of {t}"),
        ("{x}.tif", "'{x}'"),
        ("{T}.tif", "'{T}'"),
        ("{}.tif", "'{}'"),
        ("{tz}.tif", "'{tz}'"),
        ("t{t.tif", "'t{t.tif'"),
        ("z{z}_{z}.tif", "{z} twice"),
        ("c{c}/{c}.tif", "{c} twice"),
        ("{t}{z}.tif", "nothing between"),
        ("{c}{t}.tif", "nothing between"),
        ("../{t}.tif", "below dataPath"),
        ("/data/{t}.tif", "below dataPath"),
        ("a//{t}.tif", "below dataPath"),
        ("./{t}.tif", "below dataPath"),
        ("{t}/", "below dataPath"),
    ],
)
def test_what_is_no_pattern_is_refused(pattern, said):
    with pytest.raises(ValueError, match="pattern=") as caught:
        NamePattern.parse(pattern)
    assert said in str(caught.value)


def test_files_are_listed_by_time_then_plane_then_channel(tmp_path):
    names = [f"t{t}/c{c}_z{z:02d}.tif" for t in (9, 10) for z in (1, 2) for c in ("GFP", "DAPI")]
    touch(tmp_path, [*names, "t9/.c1_z03.tif", "t9/notes.txt", "other/cGFP_z01.tif", "t11.tif"])
    found = list_pattern(str(tmp_path), "t{t}/c{c}_z{z}.tif")
    assert found.channels == ["DAPI", "GFP"]
    assert found.table.dtype == np.int64
    assert found.table.tolist() == [list(p) for p in itertools.product((9, 10), (1, 2), (0, 1))]
    wanted = [f"t{t}/c{c}_z0{z}.tif" for t in (9, 10) for z in (1, 2) for c in ("DAPI", "GFP")]
    assert found.paths == [str(tmp_path / name) for name in wanted]


def test_a_number_that_the_pattern_lacks_is_minus_one(tmp_path):
    touch(tmp_path, ["img2.tif", "img010.tif", "img1.tif"])
    assert listed(tmp_path, "img{t}.tif") == (
        ["img1.tif", "img2.tif", "img010.tif"],
        [[1, -1, -1], [2, -1, -1], [10, -1, -1]],
    )
    assert listed(tmp_path, "img{c}.tif")[1] == [[-1, -1, 0], [-1, -1, 1], [-1, -1, 2]]


def test_depths_below_zero_are_numbers_and_a_hyphen_is_not(tmp_path):
    touch(tmp_path, ["z-2.tif", "z0.tif", "z+1.tif", "z1.tif"])
    assert listed(tmp_path, "z{z}.tif") == (
        ["z-2.tif", "z0.tif", "z1.tif"],
        [[-1, -2, -1], [-1, 0, -1], [-1, 1, -1]],
    )
    touch(tmp_path, ["a-1.tif", "a-2.tif"])
    with pytest.raises(ValueError, match=r"write -\{t\}"):
        list_pattern(str(tmp_path), "a{t}.tif")
    assert listed(tmp_path, "a-{t}.tif")[0] == ["a-1.tif", "a-2.tif"]


def test_of_two_times_in_a_pattern_the_first_counts_first(tmp_path):
    touch(tmp_path, ["2/1.tif", "1/10.tif", "1/9.tif", "2/2.tif"])
    names, table = listed(tmp_path, "{t}/{t}.tif")
    assert names == ["1/9.tif", "1/10.tif", "2/1.tif", "2/2.tif"]
    assert [row[0] for row in table] == [0, 1, 2, 3]


def test_two_files_of_one_place_are_named(tmp_path):
    touch(tmp_path, ["a_t01.tif", "b_t1.tif", "a_t2.tif"])
    with pytest.raises(ValueError, match=r"a_t01\.tif and .*b_t1\.tif.*both are t 1;"):
        list_pattern(str(tmp_path), "*_t{t}.tif")


def test_a_number_that_is_too_large_is_said(tmp_path):
    touch(tmp_path, ["t1.tif", f"t{'9' * 30}.tif"])
    with pytest.raises(ValueError, match="too large a number"):
        list_pattern(str(tmp_path), "t{t}.tif")


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("t{t}/z{z}.tif", "matches has Z1.tif, Z2.tif"),
        ("t{t}/z{z}.tif", "upper and lower case differ"),
        ("x{t}/z{z}.tif", "it has t1, t2"),
        ("t{t}/Z{z}.png", "matches has Z1.tif"),
    ],
)
def test_where_nothing_matches_it_says_what_is_there(tmp_path, pattern, said):
    touch(tmp_path, ["t1/Z1.tif", "t1/Z2.tif", "t2/Z1.tif", ".hidden"])
    with pytest.raises(FileNotFoundError, match="no files match pattern=") as caught:
        list_pattern(str(tmp_path), pattern)
    assert said in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_where_there_is_no_directory_it_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such directory"):
        list_pattern(str(tmp_path / "none"), "{t}.tif")
    touch(tmp_path, ["1.tif"])
    with pytest.raises(ValueError, match="below a directory"):
        list_pattern(str(tmp_path / "1.tif"), "{t}.tif")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="has no files"):
        list_pattern(str(tmp_path / "empty"), "{t}.tif")


def table_of(times, planes, channels, without=()):
    rows = [p for p in itertools.product(times, planes, channels) if p not in without]
    return np.array(rows, dtype=np.int64)


def test_missing_places_are_named():
    assert find_missing(table_of((1, 3), (0, 5), (-1,))) == (0, [], False)
    without = [(2, 3, 0), (2, 3, 1), (2, 4, 0), (2, 4, 1)]
    found = find_missing(table_of((1, 2), (3, 4, 5), (0, 1), without), ["DAPI", "GFP"])
    assert found == (4, ["t 2, z 3, c DAPI", "t 2, z 3, c GFP", "t 2, z 4, c DAPI"], True)
    assert not find_missing(table_of((1, 2, 3), (3, 4), (-1,), [(2, 3, -1)])).at_end
    assert find_missing(table_of((1, 2, 3), (3, 4), (-1,), [(3, 4, -1)])) == (1, ["t 3, z 4"], True)


def test_a_sparse_grid_costs_no_memory():
    many = np.arange(100_000)
    found = find_missing(np.column_stack([many, many, -np.ones_like(many)]))
    assert found.number == 100_000**2 - 100_000
    assert found.first == ["t 0, z 1", "t 0, z 2", "t 0, z 3"]


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([1, 2, 3], ""),
        ([5], ""),
        ([1, 2, 4], "number 3 is missing"),
        ([1, 2, 3, 4, 7, 8], "numbers 5 to 6 are missing"),
        ([0, 10, 20, 40], "number 30 is missing"),  # of a step
        ([0, 2, 4, 8, 10, 14, 16, 20, 22, 26], "numbers 6, 12, 18 and others are missing"),
        ([143205, 143310, 143411, 143519], ""),  # times of day
        ([1, 100], ""),
    ],
)
def test_numbers_that_are_missing_among_names(numbers, said):
    assert find_gaps([f"d3/img 2_{n:03d}.tif" for n in numbers]) == said
    assert find_gaps([f"t{n:04d}/t{n}.tif" for n in numbers]) == said
    assert find_gaps([f"a{n}_{2 * n}.tif" for n in numbers]) == ""
    assert find_gaps(["a.tif", *(f"{n}.tif" for n in numbers)]) == ""


T2, Z3 = range(2), range(3)
PROPOSED = {
    # Micro-Manager 2.0 and 1.4
    "img_channel{c}_position000_time{t}_z{z}.tif": [
        f"img_channel{c:03d}_position000_time{t:09d}_z{z:03d}.tif"
        for t in T2 for z in Z3 for c in T2
    ],
    "img_{t}_{c}_{z}.tif": [
        f"img_{t:09d}_{c}_{z:03d}.tif" for t in T2 for z in Z3 for c in ("DAPI", "Cy5_far")
    ],
    # ThorImage
    "Chan{c}_0001_0001_{z}_{t}.tif": [
        f"Chan{c}_0001_0001_{z + 1:04d}_{t + 1:04d}.tif" for c in "AB" for z in Z3 for t in T2
    ],
    # PrairieView: a series of times, and a stack a cycle
    "TSeries-01012024-1-001_Cycle00001_Ch{c}_{t}.ome.tif": [
        f"TSeries-01012024-1-001_Cycle00001_Ch{c + 1}_{t + 1:06d}.ome.tif"
        for t in Z3 for c in T2
    ],
    "ZSeries-1_Cycle00001_Ch{c}_{z}.ome.tif": [
        f"ZSeries-1_Cycle00001_Ch{c + 1}_{z + 1:06d}.ome.tif" for z in Z3 for c in T2
    ],
    "TSeries-1_Cycle{t}_Ch2_{z}.ome.tif": [
        f"TSeries-1_Cycle{t + 1:05d}_Ch2_{z + 1:06d}.ome.tif" for t in T2 for z in Z3
    ],
    # ImageXpress: one site
    "plate_A01_s1_w{c}_t{t}.TIF": [
        f"plate_A01_s1_w{c + 1}_t{t + 1}.TIF" for t in T2 for c in Z3
    ],
    # MetaMorph, and Harmony: one field
    "a_w{c}_s1_t{t}.TIF": [
        f"a_w{w}_s1_t{t + 1}.TIF" for t in T2 for w in ("1DAPI", "2Alexa-488", "3")
    ],
    "r01c02f03p{z}-ch{c}sk{t}fk1fl1.tiff": [
        f"r01c02f03p{z + 1:02d}-ch{c + 1}sk{t + 1}fk1fl1.tiff"
        for t in T2 for c in T2 for z in Z3
    ],
    # light sheet
    "t{t}/z{z}.tif": [f"t{t:03d}/z{z:03d}.tif" for t in T2 for z in Z3],
    "TL{t}/TL*_plane{z}.tif": [f"TL{t:02d}/TL{t:02d}_plane{z:04d}.tif" for t in T2 for z in Z3],
    "spim_TL{t}_Channel{c}.tif": [f"spim_TL{t:04d}_Channel{c}.tif" for t in T2 for c in T2],
    "rec 1.2 [a]_Z{z}.tif": [f"rec 1.2 [a]_Z{z}.tif" for z in (8, 9, 10)],
    "rec_{t}_slice{z}.tif": [f"rec_{t}_slice{z}.tif" for t in T2 for z in Z3],
    "a??b?_z{z}.tif": [f"a{{?b*_z{z}.tif" for z in Z3],
}  # fmt: skip


@pytest.mark.parametrize("pattern", PROPOSED)
def test_names_of_programs_propose_their_pattern(pattern):
    names = sorted(PROPOSED[pattern], key=natural_key)
    found = propose(names)
    assert found.pattern == pattern
    assert found.left_out == 0
    assert np.prod(list(found.extents.values())) == len(names)
    assert found.certain == pattern.startswith("img_")
    assert propose([f"/data/x_z1/{name}" for name in names]) == found._replace(
        directory="/data/x_z1"
    )


def test_the_patterns_of_the_documents_fit_their_names():
    page = Path(__file__).parents[2] / "docs" / "formats.md"
    rows = re.findall(
        r"^\|[^|]*\| `([^`]+)` \| `([^`]*\{[^`]+)` \|$", page.read_text(), re.MULTILINE
    )
    assert len(rows) >= 10
    for name, pattern in rows:
        found = NamePattern.parse(pattern).match(name)
        assert found is not None, name
        wanted = {"t": 12, "z": 3}
        for letter, value in zip(NamePattern.parse(pattern).letters, found, strict=True):
            assert letter == "c" or int(value) == wanted[letter], name


@pytest.mark.parametrize("pattern", PROPOSED)
def test_what_is_proposed_can_be_listed_and_so_can_the_movie(tmp_path, pattern):
    touch(tmp_path, PROPOSED[pattern])
    paths = sorted((str(tmp_path / name) for name in PROPOSED[pattern]), key=natural_key)
    found = propose(paths)
    for written in (found.pattern, found.alternative):
        assert sorted(list_pattern(found.directory, written).paths, key=natural_key) == paths


def test_the_other_reading_is_a_movie():
    names = [f"img_z{z}.tif" for z in range(5)]
    assert propose(names).alternative == "img_z{t}.tif"
    names = [f"t{t}_z{z}.tif" for t in range(2) for z in range(5)]
    assert propose(names).alternative == "t{t}_z{t}.tif"


@pytest.mark.parametrize(
    "names",
    [
        ["img.tif"],
        ["img_z1.tif"],
        [f"img_{i:04d}.tif" for i in range(5)],
        [f"t{i:04d}.tif" for i in range(5)],
        [f"rec_{a:05d}_{i:05d}.tif" for a in range(2) for i in range(3)],  # ScanImage
        [f"day{a}/rec_{i}.tif" for a in range(2) for i in range(3)],
        ["a.tif", "b.tif", "c.tif"],
        [f"x_z{i}_t{i}.tif" for i in range(4)],  # planes and times that make no grid
        ["a_z1.tif", "b.tif", "c_2.tif", "d.tif"],
        [f"imgz{i}.tif" for i in range(4)],  # z is the end of a word
        [f"ChanA_0001_0001_0001_{i:04d}.tif" for i in range(4)],
    ],
)
def test_other_names_propose_nothing(names):
    assert propose(names) is None


def test_other_positions_and_other_files_are_left_out():
    names = [
        f"img_channel000_position{p:03d}_time000000000_z{z:03d}.tif" for p in range(2) for z in Z3
    ]
    found = propose(names)
    assert found.pattern == "img_channel000_position000_time000000000_z{z}.tif"
    assert (found.left_out, found.certain) == (3, False)
    found = propose(["background.tif", *(f"img_z{z}.tif" for z in Z3)])
    assert (found.pattern, found.left_out) == ("img_z{z}.tif", 1)


def test_what_a_sample_does_not_show_is_found_among_all():
    names = sorted(
        (f"t{t}_c{c}_z{z:03d}.tif" for t in range(4) for c in range(2) for z in range(250)),
        key=natural_key,
    )
    found = propose(names)
    assert found.pattern == "t{t}_c{c}_z{z}.tif"
    assert found.extents == {"t": 4, "z": 250, "c": 2}
