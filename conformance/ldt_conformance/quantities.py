"""In which unit a quantity is measured, or in one that converts to it. Names that are not here are taken as they are.

CF standard names with the dimension of their canonical unit (CF Standard Name Table), and attributes of Smart Data
Models. Amounts of substance by mole and by mass are different quantities with different names.
"""

from __future__ import annotations

from collections.abc import Mapping

UNITS: Mapping[str, str] = {
    # CF standard names
    "air_temperature": "K",
    "surface_temperature": "K",
    "sea_surface_temperature": "K",
    "dew_point_temperature": "K",
    "soil_temperature": "K",
    "water_temperature": "K",
    "air_pressure": "Pa",
    "air_pressure_at_mean_sea_level": "Pa",
    "surface_air_pressure": "Pa",
    "relative_humidity": "1",
    "specific_humidity": "1",
    "cloud_area_fraction": "1",
    "wind_speed": "m/s",
    "wind_speed_of_gust": "m/s",
    "eastward_wind": "m/s",
    "northward_wind": "m/s",
    "wind_from_direction": "deg",
    "wind_to_direction": "deg",
    "precipitation_amount": "kg/m2",
    "precipitation_flux": "kg/m2/s",
    "lwe_precipitation_rate": "m/s",
    "lwe_thickness_of_precipitation_amount": "m",
    "thickness_of_rainfall_amount": "m",
    "surface_downwelling_shortwave_flux_in_air": "W/m2",
    "surface_downwelling_longwave_flux_in_air": "W/m2",
    "surface_altitude": "m",
    "altitude": "m",
    "height": "m",
    "depth": "m",
    "latitude": "deg",
    "longitude": "deg",
    "water_volume_transport_in_river_channel": "m3/s",
    "water_surface_height_above_reference_datum": "m",
    "surface_runoff_flux": "kg/m2/s",
    "volume_fraction_of_condensed_water_in_soil": "1",
    "mass_concentration_of_nitrogen_dioxide_in_air": "kg/m3",
    "mass_concentration_of_nitrogen_monoxide_in_air": "kg/m3",
    "mass_concentration_of_ozone_in_air": "kg/m3",
    "mass_concentration_of_sulfur_dioxide_in_air": "kg/m3",
    "mass_concentration_of_carbon_monoxide_in_air": "kg/m3",
    "mass_concentration_of_pm10_ambient_aerosol_particles_in_air": "kg/m3",
    "mass_concentration_of_pm2p5_ambient_aerosol_particles_in_air": "kg/m3",
    "mole_fraction_of_carbon_dioxide_in_air": "1",
    "mole_fraction_of_ozone_in_air": "1",
    "mole_fraction_of_nitrogen_dioxide_in_air": "1",
    # Smart Data Models
    "averageVehicleSpeed": "m/s",
    "averageVehicleLength": "m",
    "averageHeadwayTime": "s",
    "occupancy": "1",
    "relativeHumidity": "1",
    "atmosphericPressure": "Pa",
    "windSpeed": "m/s",
    "solarRadiation": "W/m2",
    "illuminance": "lx",
}
