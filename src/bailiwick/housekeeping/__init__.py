"""What must happen without anybody asking, and what people ask of it.

begin       before the first action of a process: is this still the tree that others know?
tick        whatever is due now is carried on, erased, sequenced, told
erasing     payloads go: on somebody's word, or after their time
delivering  notices are sent, requests escalated
"""

from bailiwick.housekeeping.ticking import Tick, begin, tick

__all__ = ["Tick", "begin", "tick"]
