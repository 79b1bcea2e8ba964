"""Keeps what Blender's interface draws as text, and where: the harness reads a window without looking at its pixels.

Three of Blender's functions are replaced in this process's memory by ones that take notes and call the original: the
one that draws a text, the one that says where, and the one that draws a region (an editor's part, a menu, a tooltip).
So what is read is what is drawn now, cut off with "…" where Blender cuts it off. Linux x86_64; for tests only.
"""
import ctypes
import mmap
import struct

import bpy

JUMP = 12  # bytes of: mov rax, address; jmp rax
HEAD = 512  # bytes of a region, or of a screen, in which a part of it is looked for
BAR = 60  # pixels that the bars at the window's top and bottom have at most
LETTER = 10  # pixels that a letter is high
UPRIGHT = 1 << 0  # BLF_ROTATION


class _Hook:
    """A function of Blender's that is answered by `answer(original, *arguments)`."""

    def __init__(self, address, prototype, answer):
        self.address, self.prototype = address, prototype
        self.before = ctypes.string_at(address, JUMP)
        self.callback = prototype(lambda *arguments: answer(self._original, *arguments))
        self.jump = b"\x48\xb8" + ctypes.cast(self.callback, ctypes.c_void_p).value.to_bytes(8, "little") + b"\xff\xe0"
        _make_writable(address)
        self._call = prototype(address)
        ctypes.memmove(address, self.jump, JUMP)

    def _original(self, *arguments):
        ctypes.memmove(self.address, self.before, JUMP)
        try:
            return self._call(*arguments)
        finally:
            ctypes.memmove(self.address, self.jump, JUMP)


def _make_writable(address):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    start = address & -mmap.PAGESIZE
    length = (address + JUMP - start + mmap.PAGESIZE - 1) & -mmap.PAGESIZE
    if libc.mprotect(start, length, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")


class Drawn:
    """The texts of all regions, as they were drawn last. `address`: gives a function's address by its name."""

    def __init__(self, address):
        # address of a region -> address of its window, its first bytes, [(text, x, y, width, upright, view)]
        self.regions = {}
        self._current = None
        self._place = {}  # font -> x, y of its next text
        self._turned = {}  # font -> whether its texts stand upright
        self._corner = None  # bytes from a region to its rectangle
        pointer, text, whole, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_float
        proto = ctypes.PYFUNCTYPE
        self._window_of = proto(pointer, pointer)(address("CTX_wm_window"))
        self._width_of = proto(number, whole, text, ctypes.c_size_t, pointer)(address("BLF_width"))
        self._length_of = proto(ctypes.c_size_t, pointer, ctypes.c_size_t)(("strnlen", ctypes.CDLL(None)))
        self._view_into = proto(pointer, pointer)(address("GPU_matrix_model_view_projection_get"))
        self._hooks = [
            _Hook(address("BLF_position"), proto(None, whole, number, number, number), self._position),
            _Hook(address("BLF_enable"), proto(None, whole, whole), self._enable),
            _Hook(address("BLF_disable"), proto(None, whole, whole), self._disable),
            _Hook(address("BLF_draw"), proto(None, whole, pointer, ctypes.c_size_t, pointer), self._draw),
            _Hook(address("BLF_draw_mono"), proto(whole, whole, pointer, ctypes.c_size_t, whole, whole),
                  self._draw_mono),
            _Hook(address("ED_region_do_draw"), proto(None, pointer, pointer), self._region),]

    def _position(self, original, font, x, y, z):
        self._place[font] = x, y
        original(font, x, y, z)

    def _enable(self, original, font, option):
        if option & UPRIGHT:
            self._turned[font] = True
        original(font, option)

    def _disable(self, original, font, option):
        if option & UPRIGHT:
            self._turned[font] = False
        original(font, option)

    def _draw(self, original, font, text, length, result):
        if self._current is not None and text:
            # some end with a zero, some where `length` says
            drawn = ctypes.string_at(text, self._length_of(text, length))
            self._note(font, drawn, self._width_of(font, drawn, len(drawn), None))
        original(font, text, length, result)

    def _draw_mono(self, original, font, text, length, width, tab):
        """As text editors and consoles draw, which colour each letter for itself."""
        columns = original(font, text, length, width, tab)
        if self._current is not None and text:
            self._note(font, ctypes.string_at(text, self._length_of(text, length)), float(columns * width))
        return columns

    def _note(self, font, drawn, width):
        x, y = self._place.get(font, (0.0, 0.0))
        text, texts = drawn.decode("utf-8", "replace"), self.regions[self._current][2]
        if texts:
            before, left, line, wide, *rest = texts[-1]
            if line == y and abs(left + wide - x) < 1:  # goes on where the last ended
                texts[-1] = before + text, left, y, wide + width, *rest
                return
        view = (ctypes.c_float * 16)()  # from where it is drawn to -1 … 1 across the region
        self._view_into(view)
        texts.append((text, x, y, width, self._turned.get(font, False), (view[0], view[12], view[5], view[13])))

    def _region(self, original, context, region):
        self._current = region
        self.regions[region] = self._window_of(context), ctypes.string_at(region, HEAD), []
        try:
            original(context, region)
        finally:
            self._current = None

    def texts(self):
        """Return [text, left, top, right, bottom, upright] of each text that can be seen, in screen pixels from its
        upper left corner. The first window fills the screen; the others lie over it, the newest on top."""
        windows = bpy.context.window_manager.windows
        above, seen = [], []  # boxes that cover what is below, the texts
        for window in reversed(windows):
            seen += self._texts_in(window, above, windows[0].height)
            above.append((window.x, window.y, window.x + window.width, window.y + window.height))
        return seen

    def popups(self):
        """Return the box of each menu, popover and tooltip of the first window, as left, top, right, bottom; the lowest
        first."""
        window = bpy.context.window_manager.windows[0]
        boxes = [self._box(self.regions[key][1]) for key in _popups(window.screen) if key in self.regions]
        return [[left, window.height - high, right, window.height - low] for left, low, right, high in boxes]

    def _texts_in(self, window, above, height):
        regions = {region.as_pointer(): region for area in window.screen.areas for region in area.regions}
        self._corner = self._corner or _corner(regions.values())
        popups = _popups(window.screen)
        other = {region.as_pointer() for screen in bpy.data.screens for area in screen.areas for region in area.regions}
        shown = [key for key, region in regions.items() if region.width > 1 and region.height > 1]
        shown += [
            key for key in self.regions if key not in other and key not in popups and self._is_bar(key, window.height)]
        seen = []
        for key in reversed(shown + popups):
            of, head, drawn = self.regions.get(key, (None, b"", []))
            if of == window.as_pointer():
                left, low, right, high = self._box(head)
                box = left + window.x, low + window.y, right + window.x, high + window.y
                seen += [text for text in (_on_screen(text, box, above, height) for text in drawn) if text]
                if key in popups:
                    above.append(box)
        return seen

    def _box(self, head):
        """Return left, lowest, right, highest pixel of a region, counted from the window's lower left corner."""
        left, right, low, high = struct.unpack_from("<4i", head, self._corner)
        return left, low, right, high

    def _is_bar(self, key, height):
        _left, low, _right, high = self._box(self.regions[key][1])
        return high - low < BAR and (low <= 0 or high >= height - 1)


def _corner(regions):
    """Return how many bytes from its beginning a region keeps its rectangle, found in one that is known."""
    region = max(regions, key=lambda region: region.width)
    wanted = (region.x, region.x + region.width - 1, region.y, region.y + region.height - 1)
    return next(at for at in range(0, HEAD, 4)
                if tuple((ctypes.c_int * 4).from_address(region.as_pointer() + at)) == wanted)


def _popups(screen):
    """Return the addresses of the menus, popovers and tooltips of a screen, the lowest first: the list stands behind
    that of its areas, and each begins with the address of the next."""
    first = screen.areas[0].as_pointer()
    areas = next(at for at in range(0, HEAD, 8) if _pointer_at(screen.as_pointer() + at) == first)
    popups, popup = [], _pointer_at(screen.as_pointer() + areas + 16)
    while popup:
        popups.append(popup)
        popup = _pointer_at(popup)
    return popups


def _pointer_at(address):
    return ctypes.c_void_p.from_address(address).value


def _on_screen(text, region, above, height):
    """Return a text in pixels of the screen, None where it is cut off by its region or covered by another."""
    words, x, y, length, upright, (wide, across, tall, up) = text
    left, low, right, high = region
    x, y = left + (x * wide + across + 1) / 2 * (right - left + 1), low + (y * tall + up + 1) / 2 * (high - low + 1)
    length *= wide / 2 * (right - left + 1)
    box = (x - LETTER, y, x, y + length) if upright else (x, y, x + length, y + LETTER)
    middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    if not _inside(middle, region) or any(_inside(middle, other) for other in above) or not words.strip():
        return None
    return [words, int(box[0]), int(height - box[3]), int(box[2]), int(height - box[1]), upright]


def _inside(point, box):
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]
