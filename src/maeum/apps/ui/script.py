"""The file that Streamlit runs for every session and every click."""

from maeum.apps.ui.frame import main

main()
