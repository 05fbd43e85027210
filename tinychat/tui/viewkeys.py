"""The keys of the screens that open over the play screen, as their bindings say them."""

from __future__ import annotations

import importlib
import pkgutil

from textual.binding import Binding
from textual.dom import DOMNode

from tinychat.tui import views
from tinychat.tui.keymap import Bound


def view_bound() -> tuple[Bound, ...]:
    """Every binding with an id of every class in tinychat/tui/views/, under the module's name."""
    found: dict[tuple[str, str], list[Binding]] = {}
    for module in sorted(each.name for each in pkgutil.iter_modules(views.__path__)):
        home = importlib.import_module(f"{views.__name__}.{module}")
        for each in vars(home).values():
            if isinstance(each, type) and issubclass(each, DOMNode) and each.__module__ == home.__name__:
                for binding in Binding.make_bindings(each.__dict__.get("BINDINGS", ())):
                    if binding.id:
                        found.setdefault((module, binding.id), []).append(binding)
    return tuple(
        Bound(
            name=id_,
            id=id_,
            keys=tuple(dict.fromkeys(each.key for each in bindings)),
            title=bindings[0].description,
            tip=bindings[0].tooltip,
            screen=module,
        )
        for (module, id_), bindings in found.items()
    )
