"""Characters that look like a Latin letter or a common sign without being one: data. Pure.

Each line holds what a reader takes the characters for, a blank, and the characters, in small
letters where a script has them: capitals are folded to small ones first, so that a word of
Cyrillic or Greek stays equal to itself in capitals. Where the small and the capital letter
look like two different Latin ones, the line is a choice between them. Chosen by eye, script by
script; not a copy of Unicode's own table, and much smaller.
"""

# ruff: noqa: RUF001 - look-alikes are what this module is about

from __future__ import annotations

LOOK_ALIKES = """
a аαɑᴀꓮᎪ
b вβƀᏏᏴꓐʙ
c сϲᴄꓚᏟ
d ԁđɗᴅꓓᎠᏧ
e еεєҽɛᴇꓰᎬ
f ғꞙꜰꓝƒ
g ɡցɢꓖᏀᏳ
h һнηհħʜꓧᎻᏂ
i іιıɩɪꓲᎥ
j јϳյᴊꓙᎫ
k кκқҝᴋꓗᏦ
l łƚӏʟɭꓡᏞ
m мμᴍꓟᎷ
n пոռɴꓠ
o оοσօøᴏꓳഠ
p рρᴘꓑᏢ
q ԛզɋ
r гʀꓣᎡᏒ
s ѕʂꜱꓢՏᏕᏚ
t тτŧᴛꓔᎢ
u υսʋᴜꓴ
v νѵᴠꓦᏙᏤ
w ѡԝωᴡꓪᎳᏔ
x хχҳꓫ×
y уγүұʏꓬᎩ
z ζƶᴢꓜᏃ
ae æӕᴁ
oe œɶ
- ‐‒–—―−⁃˗➖⸺⸻
' ‘’‛ʼʻʹ′‵´
" “”‟″‶
. 。۔܁
, ‚،、
: ∶ːꓽ׃։᛫
; ؛
/ ∕⁄⧸⟋
\\ ∖⧵⧹
| ∣ǀ⎮
! ǃⵑ
* ∗⁎٭
~ ∼˜⁓〜
_ ˍ
< ‹˂❮
> ›˃❯
"""
