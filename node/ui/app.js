// Start: what stands around the pages, then the page of this address, then what happens now.

import * as chrome from "./lib/chrome.js";
import * as live from "./lib/live.js";
import { startClock } from "./lib/parts.js";
import * as router from "./lib/router.js";
import { PAGES } from "./pages.js";

chrome.start(PAGES);
router.start(PAGES, chrome.moved);
startClock();
live.start();
