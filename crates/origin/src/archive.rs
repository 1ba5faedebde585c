//! A tree and its rules become a zip (module-zip sections 4 to 7).
