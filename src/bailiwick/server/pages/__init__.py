"""The pages: the seed of a console, for people with a browser.

mounting    the table of pages, and the application that serves them
guarding    what every request passes: whose name it was sent to, from where, and the headers
sealing     the cookie: a session that only this project's keys can open; tokens against forgery
visiting    a visit: who looks, what they ask, and what they are shown
rendering   templates, and text of others made safe
faults      a fault as a page
entering    logging in and out
approvals   what waits for people, and their votes
actions     what was proposed and what became of it
stops       the switches: what is stopped, stopping, resuming
events      what tells an open page that it is out of date
"""

from bailiwick.server.pages.mounting import pages

__all__ = ["pages"]
