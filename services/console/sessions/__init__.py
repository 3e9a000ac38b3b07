"""Who is signed in: sessions live in this program's memory, and a cookie names one."""
