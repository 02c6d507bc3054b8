"""Titles and pictures that programs put before and behind recordings of any format: ID3, APE and Lyrics3 tags."""


def end_of_tag(data: bytes, place: int) -> int | None:
    """Where the tag that begins at this place ends; None if none begins there."""
    head = data[place : place + 32]
    if head.startswith(b"ID3") and len(head) >= 10 and not any(byte & 0x80 for byte in head[6:10]):
        footer = 10 if head[5] & 0x10 else 0
        size = sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        return place + 10 + size + footer
    if head.startswith(b"TAG") and len(data) - place == 128:
        return len(data)
    if head.startswith(b"APETAGEX") and len(head) == 32:
        has_header = head[23] & 0x80
        return place + 32 + (int.from_bytes(head[12:16], "little") if has_header else 0)
    if head.startswith(b"LYRICSBEGIN"):
        end = data.find(b"LYRICS200", place)
        return end + 9 if end >= 0 else None
    return None
