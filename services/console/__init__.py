"""The management console: pages in a browser, made from what the services' interfaces give whoever is signed in."""
