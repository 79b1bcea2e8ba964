"""What panels draw, by `UILayout.introspect()` after each `draw`. Runs inside Blender, sent there by
test_languages.py."""
import sys

import addon_utils
import bpy

EXTENSION = "bl_ext.user_default.blender_sd"
texts = {}  # panel -> what its buttons, labels and tooltips say, in their order
_kept = []
_looking = False


def _keep(event, _arguments):
    """Blender 5.2 gives one reference too many back to the namespace in which `introspect` builds its answer."""
    if _looking and event == "exec":
        _kept.extend([vars(sys.modules["__main__"])] * 2)


def _look(layout):
    global _looking
    _looking = True
    try:
        return layout.introspect()
    finally:
        _looking = False


def _texts_of(items):
    for item in items:
        yield from _texts_of(item.get("items", ()))
        yield from filter(None, (item.get("draw_string"), item.get("tip")))


def _recording(draw):
    def draw_and_look(self, context):
        draw(self, context)
        texts[type(self).__name__] = list(_texts_of(_look(self.layout)))

    return draw_and_look


def record():
    """Make all panels of the extension open at first, and record what they draw."""
    sys.addaudithook(_keep)
    addon_utils.disable(EXTENSION)
    for cls in sys.modules[f"{EXTENSION}.addon"]._CLASSES:
        if issubclass(cls, bpy.types.Panel):
            cls.bl_options = getattr(cls, "bl_options", set()) - {"DEFAULT_CLOSED"}
            cls.draw = _recording(cls.draw)
    addon_utils.enable(EXTENSION)


def show(locale):
    """Show the interface in a language, from the next drawing on."""
    view = bpy.context.preferences.view
    view.language = locale
    view.use_translate_interface = view.use_translate_tooltips = locale != "en_US"
    texts.clear()
    for area in bpy.context.window.screen.areas:
        area.tag_redraw()


def astray(english):
    """Return (panel, English text, wanted) of each text of ours that a panel drew otherwise than our translation says.

    `english`: what the panels drew in English. Labels are looked for one by one; sentences, which panels cut into
    lines, in all lines together."""
    ours = _ours()
    sentences = sorted((text for text in ours if len(text) > 30 and "{" not in text), key=len, reverse=True)
    wrong = []
    for panel, shown in english.items():
        drawn = texts.get(panel, [])
        lines, lines_drawn = _joined(shown), _joined(drawn)
        wrong += [(panel, text, ours[text]) for text in shown if text in ours and ours[text] not in drawn
                  # a line that ends with a sentence, in English
                  and not (text.endswith(".") and _joined([ours[text]]) in lines_drawn)]
        for text in sentences:  # the longest first: some are the beginning of others
            if _joined([text]) in lines:
                lines = lines.replace(_joined([text]), "|")
                if _joined([ours[text]]) not in lines_drawn:
                    wrong.append((panel, text, ours[text]))
    return wrong


def _joined(shown):
    return "".join("".join(shown).split())


def _ours():
    """Return our translations in the language that is shown."""
    words = sys.modules[f"{EXTENSION}.addon.translations.words"]
    return {text: wanted for text, wanted in words.read(words.file_of(words.language_shown())).items() if wanted}


def clashes():
    """Return our texts that Blender's own catalogue has with another translation than ours, in the language that is
    shown."""
    return [text for text, wanted in _ours().items() if bpy.app.translations.pgettext_iface(text) != wanted]


def lost():
    """Return our texts that are not ours even in our own context."""
    context = sys.modules[f"{EXTENSION}.addon.translations"].CONTEXT
    return [text for text, wanted in _ours().items() if bpy.app.translations.pgettext_iface(text, context) != wanted]


def english_left(english):
    """Return (panel, text) of each text that is drawn as in English and holds a word."""
    return [(panel, text) for panel, shown in english.items() for text in shown
            if text in texts.get(panel, []) and text not in _ours().values() and any(part.islower()
                                                                                     for part in text.split())]
