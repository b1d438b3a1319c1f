"""The web app: type a sentence, upload a file, compare two models, move a threshold. Streamlit draws, the library answers.

::

    settings    what ``maeum ui`` was started with, and how Streamlit is told of it
    look        colours, fonts, style sheet
    words       names of tasks and labels for people
    state       models opened once for all sessions, what a session remembers
    uploads     a file that was sent: its columns, its rows, the bad ones; tables to take away
    labelled    labelled rows and what two models or new thresholds make of them
    charts      Altair charts
    marks       texts with marked words, cards, chips: HTML in which everything is escaped
    pieces      what several pages are put together from
    views       ``PAGES``, and a module with a function ``show`` for each (a folder ``pages`` would be Streamlit's own)
    frame       what surrounds every page
    script      the file that Streamlit runs

No page holds a decision that a Python caller could not reach: it asks the library and draws what comes back.
"""
