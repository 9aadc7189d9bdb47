import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.lineage.graph import BOX_HEIGHT_PX, BOX_WIDTH_PX, Arrow, Box, arrange, layers, shorten, svg


def test_layers_are_longest_ways_and_sources_stand_near_their_users() -> None:
    arrows = [Arrow("a", "b"), Arrow("b", "c"), Arrow("a", "c"), Arrow("late", "c")]
    assert layers(["a", "b", "c", "late"], arrows) == {"a": 0, "b": 1, "c": 2, "late": 1}


def test_a_cycle_is_refused() -> None:
    with pytest.raises(ValueError, match="cycle"):
        layers(["a", "b"], [Arrow("a", "b"), Arrow("b", "a")])


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[str], list[Arrow]]:
    names = [f"n{i}" for i in range(draw(st.integers(1, 9)))]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return names, [Arrow(a, b) for a, b in chosen]


@settings(deadline=None, max_examples=60)
@given(graphs())
def test_boxes_never_overlap_and_arrows_go_right(graph: tuple[list[str], list[Arrow]]) -> None:
    names, arrows = graph
    layout = arrange(names, arrows)
    centres = [layout.centres[n] for n in names]
    for i, (x, y) in enumerate(centres):
        assert BOX_WIDTH_PX / 2 <= x <= layout.width_px - BOX_WIDTH_PX / 2
        assert BOX_HEIGHT_PX / 2 <= y <= layout.height_px - BOX_HEIGHT_PX / 2
        for u, v in centres[:i]:
            assert abs(x - u) >= BOX_WIDTH_PX or abs(y - v) >= BOX_HEIGHT_PX
    for arrow in arrows:
        assert layout.centres[arrow.start][0] + BOX_WIDTH_PX < layout.centres[arrow.end][0]


def test_the_order_of_the_input_changes_nothing() -> None:
    arrows = [Arrow("a", "c"), Arrow("b", "c"), Arrow("a", "d")]
    boxes = [Box(n, n, (), "other") for n in "abcd"]
    assert arrange(list("abcd"), arrows).centres == arrange(list("dcba"), arrows).centres
    assert svg(boxes, arrows, "t") == svg(boxes, arrows, "t")


def test_text_is_escaped() -> None:
    text = svg([Box("<a>", "<script>", ("&",), "other", 'x"y')], [], "<t>")
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "x&quot;y" in text


@pytest.mark.parametrize(("text", "short"), [("abc", "abc"), ("abcdefghij", "abcd…hij"), ("abcdefgh", "abcdefgh")])
def test_long_text_loses_its_middle(text: str, short: str) -> None:
    assert shorten(text, 8) == short
