// The theme's search is a dialog, and has no name for those who hear the page.
document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
